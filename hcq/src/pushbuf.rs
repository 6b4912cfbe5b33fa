//! Push buffers: the words that a channel executes. Builder and decoder stand side by side so that one
//! checks the other.
//!
//! A push buffer is a sequence of *method headers*, each followed by data words. Source: the `DMA_*` fields
//! of the public channel class headers (`clc46f.h` and later).

use nvkernel_sys::host::{self, method_header as header};
use nvkernel_sys::method::MethodName;

use crate::error::{Error, Result};

/// Subchannel of host methods.
pub const SUBCHANNEL_HOST: u8 = 0;
/// Subchannel of the compute class, by convention of NVIDIA's own users.
pub const SUBCHANNEL_COMPUTE: u8 = 1;
/// Subchannel of the engine class of copy and video channels.
pub const SUBCHANNEL_ENGINE: u8 = 4;
/// `SET_OBJECT`, method 0 of every class: binds a class to a subchannel.
pub const SET_OBJECT: u32 = 0;
/// Methods below this address are the host's, whatever the subchannel.
pub const FIRST_ENGINE_METHOD: u32 = 0x100;

/// Behind the last method address.
const END: u32 = 0x4000;

/// One method write, as the decoder reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Subchannel, 0..=7.
    pub subchannel: u8,
    /// Method address in bytes, a multiple of 4 below 0x4000.
    pub address: u32,
    /// Data word.
    pub value: u32,
}

impl Method {
    /// Whether the host (not the engine) consumes the method.
    pub fn is_host(&self) -> bool {
        self.address < FIRST_ENGINE_METHOD
    }

    /// Name of the method, given the table of the class bound to its subchannel.
    pub fn name(&self, class: fn(u32) -> MethodName) -> MethodName {
        if self.is_host() { host::method_name(self.address) } else { class(self.address) }
    }
}

/// A growing sequence of methods. Writes to consecutive addresses share one header.
#[derive(Clone, Debug, Default)]
pub struct PushBuffer {
    words: Vec<u32>,
    /// The header that may still grow. There are fewer addresses than a header can count.
    open: Option<Open>,
}

const _: () = assert!(END >> 2 <= header::METHOD_COUNT.get(u32::MAX));

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Index of its word.
    at: usize,
    /// Subchannel and address that would continue it.
    next: (u8, u32),
}

impl PushBuffer {
    /// An empty push buffer.
    pub fn new() -> Self {
        PushBuffer::default()
    }

    /// Empties the buffer and keeps its memory.
    pub fn clear(&mut self) {
        self.words.clear();
        self.open = None;
    }

    /// The words so far.
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// Whether nothing was written yet.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// Writes one method.
    #[inline]
    pub fn method(&mut self, subchannel: u8, address: u32, value: u32) -> &mut Self {
        let at = self.header(subchannel, address, 1);
        self.words[at] += header::METHOD_COUNT.of(1);
        self.words.push(value);
        self
    }

    /// Writes consecutive methods starting at `address`.
    #[inline]
    pub fn methods(&mut self, subchannel: u8, address: u32, values: &[u32]) -> &mut Self {
        let count = values.len() as u32;
        if count > 0 {
            let at = self.header(subchannel, address, count);
            self.words[at] += header::METHOD_COUNT.of(count);
            self.words.extend_from_slice(values);
        }
        self
    }

    /// Index of the header for so many methods to come: the last one if they continue it, else one that counts none
    /// yet.
    #[inline]
    fn header(&mut self, subchannel: u8, address: u32, count: u32) -> usize {
        assert!(
            subchannel < 8 && address.is_multiple_of(4) && address < END && count <= (END - address) / 4,
            "no such methods: {subchannel}:{address:#x}, {count}"
        );
        let next = (subchannel, address + 4 * count);
        match &mut self.open {
            Some(open) if open.next == (subchannel, address) => {
                open.next = next;
                open.at
            }
            _ => {
                let at = self.words.len();
                self.words.push(
                    header::SEC_OP.of(header::SEC_OP_INC_METHOD)
                        | header::METHOD_SUBCHANNEL.of(u32::from(subchannel))
                        | header::METHOD_ADDRESS.of(address >> 2),
                );
                self.open = Some(Open { at, next });
                at
            }
        }
    }

    /// Decodes the buffer, as the host would.
    pub fn decode(&self) -> Decoder<'_> {
        Decoder::new(&self.words)
    }
}

/// Iterator over the methods of a push buffer. After an error it ends.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    words: &'a [u32],
    at: usize,
    run: Option<Run>,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    subchannel: u8,
    address: u32,
    left: u32,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Every,
    Never,
    Once,
}

impl<'a> Decoder<'a> {
    /// Starts at the first of `words`.
    pub fn new(words: &'a [u32]) -> Self {
        Decoder { words, at: 0, run: None }
    }

    fn fail(&mut self, message: String) -> Option<Result<Method>> {
        let at = self.at.saturating_sub(1);
        self.at = self.words.len();
        self.run = None;
        Some(Err(Error::PushBuffer(format!("word {at}: {message}"))))
    }
}

impl Iterator for Decoder<'_> {
    type Item = Result<Method>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(mut run) = self.run.take() {
                let Some(&value) = self.words.get(self.at) else {
                    return self.fail(format!("{} data words are missing at the end", run.left));
                };
                self.at += 1;
                let method = Method { subchannel: run.subchannel, address: run.address, value };
                run.left -= 1;
                match run.step {
                    Step::Every => run.address += 4,
                    Step::Never => {}
                    Step::Once => (run.address, run.step) = (run.address + 4, Step::Never),
                }
                if run.left > 0 {
                    self.run = Some(run);
                }
                return Some(Ok(method));
            }
            let &word = self.words.get(self.at)?;
            self.at += 1;
            let (opcode, count) = (header::SEC_OP.get(word), header::METHOD_COUNT.get(word));
            let subchannel = header::METHOD_SUBCHANNEL.get(word) as u8;
            let address = header::METHOD_ADDRESS.get(word) << 2;
            let step = match opcode {
                header::SEC_OP_INC_METHOD => Step::Every,
                header::SEC_OP_NON_INC_METHOD => Step::Never,
                header::SEC_OP_ONE_INC => Step::Once,
                header::SEC_OP_IMMD_DATA_METHOD => {
                    return Some(Ok(Method { subchannel, address, value: count }));
                }
                header::SEC_OP_END_PB_SEGMENT => {
                    self.at = self.words.len();
                    return None;
                }
                _ => return self.fail(format!("header {word:#010x} has no known opcode")),
            };
            if count > 0 {
                self.run = Some(Run { subchannel, address, left: count, step });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn consecutive_methods_share_a_header() {
        let mut pb = PushBuffer::new();
        pb.method(4, 0x200, 7).method(4, 0x204, 8).methods(4, 0x208, &[9, 10]).method(0, 0x5c, 1);
        // Golden words: incrementing, count 4, subchannel 4, method 0x200; then host SEM_ADDR_LO.
        assert_eq!(pb.words(), &[0x2004_8080, 7, 8, 9, 10, 0x2001_0017, 1]);
    }

    #[test]
    fn other_opcodes_decode() {
        let words = [0x6002_0040, 1, 2, 0x8005_2010, 0xa003_0000, 7, 8, 9];
        let methods: Vec<_> =
            Decoder::new(&words).map(|m| m.unwrap()).map(|m| (m.subchannel, m.address, m.value)).collect();
        assert_eq!(methods, [(0, 0x100, 1), (0, 0x100, 2), (1, 0x40, 5), (0, 0, 7), (0, 4, 8), (0, 4, 9)]);
    }

    #[test]
    fn damage_is_an_error() {
        assert!(Decoder::new(&[0x2004_8080, 1]).last().unwrap().is_err());
        assert!(Decoder::new(&[0xc000_0000]).next().unwrap().is_err());
    }

    proptest! {
        #[test]
        fn decode_returns_what_was_built(methods in prop::collection::vec((0u8..8, 0u32..0x1000, any::<u32>()), 0..300)) {
            let mut pb = PushBuffer::new();
            for &(subchannel, method, value) in &methods {
                pb.method(subchannel, method << 2, value);
            }
            let back: Vec<_> = pb.decode().map(|m| m.unwrap()).map(|m| (m.subchannel, m.address >> 2, m.value)).collect();
            prop_assert_eq!(back, methods);
        }

        #[test]
        fn any_words_decode_without_panic(words in prop::collection::vec(any::<u32>(), 0..64)) {
            let count = Decoder::new(&words).count();
            prop_assert!(count <= words.len() + 1);
        }
    }
}
