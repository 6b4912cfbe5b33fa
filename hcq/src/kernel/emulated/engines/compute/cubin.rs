//! Reads an entry of a cubin: code, and what its attributes say that a launch has to give it.
//!
//! The driver has a reader of its own. They share nothing, so that a mistake in one of them shows.

use std::ops::Range;

use object::LittleEndian;
use object::elf::{EM_CUDA, FileHeader64, SHT_REL, SHT_RELA, SHT_SYMTAB, STT_FUNC, SectionHeader64};
use object::read::SectionIndex;
use object::read::elf::{FileHeader, SectionHeader, SectionTable, Sym};

/// The OS/ABI byte and ABI version of cubins whose SM version is in bits 15:8 of the flags.
const ABI: (u8, u8) = (0x41, 8);
/// Constant banks of a launch.
pub(crate) const BANKS: u32 = 8;

/// Attributes of `.nv.info` sections (EIATTR).
mod attribute {
    pub(super) const PARAM_CBANK: u8 = 0x0a;
    pub(super) const FRAME_SIZE: u8 = 0x11;
    pub(super) const MIN_STACK_SIZE: u8 = 0x12;
    pub(super) const CBANK_PARAM_SIZE: u8 = 0x19;
    pub(super) const REGCOUNT: u8 = 0x2f;
    pub(super) const NUM_BARRIERS: u8 = 0x4c;
}

/// Why a cubin has no such entry to run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CubinError {
    /// It is not a whole ELF file, or its attributes contradict each other.
    #[error("damaged cubin: {0}")]
    Damaged(String),
    /// It is an ELF file of another kind than is understood.
    #[error("cubin not supported: {0}")]
    Unsupported(String),
    /// It has no such kernel.
    #[error("the cubin has no kernel {0}")]
    NoEntry(String),
}

impl From<object::read::Error> for CubinError {
    fn from(error: object::read::Error) -> Self {
        CubinError::Damaged(error.to_string())
    }
}

fn damaged<T>(message: impl Into<String>) -> Result<T, CubinError> {
    Err(CubinError::Damaged(message.into()))
}

fn unsupported<T>(message: String) -> Result<T, CubinError> {
    Err(CubinError::Unsupported(message))
}

/// A kernel of a cubin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// SM version: 90 is compute capability 9.0.
    pub(crate) sm: u32,
    pub(crate) code: Vec<u8>,
    /// What the address of the code is a multiple of.
    pub(crate) alignment: u64,
    /// Registers of a thread.
    pub(crate) registers: u32,
    /// Barriers of a block.
    pub(crate) barriers: u32,
    /// Where the parameters lie in constant bank 0.
    pub(crate) params: Range<u32>,
    /// Least size of constant bank 0.
    pub(crate) constants: u32,
    /// What other constant banks begin with.
    pub(crate) banks: Vec<(u32, Vec<u8>)>,
    /// Bytes of shared memory that the kernel itself declares.
    pub(crate) shared: u32,
    /// Bytes of local memory of a thread.
    pub(crate) stack: u32,
}

type Header = FileHeader64<LittleEndian>;
type Section = SectionHeader64<LittleEndian>;
const LE: LittleEndian = LittleEndian;

struct Cubin<'a> {
    data: &'a [u8],
    sections: SectionTable<'a, Header>,
}

impl<'a> Cubin<'a> {
    fn section(&self, name: &str) -> Option<(SectionIndex, &'a Section)> {
        self.sections.section_by_name(LE, name.as_bytes())
    }

    fn bytes(&self, section: &'a Section) -> Result<&'a [u8], CubinError> {
        Ok(section.data(LE, self.data)?)
    }

    /// Bytes of a section with a name, of none if there is no such section.
    fn named(&self, name: &str) -> Result<&'a [u8], CubinError> {
        self.section(name).map_or(Ok(&[]), |(_, section)| self.bytes(section))
    }

    /// Code and constants are compared as they lie in memory, so nothing may be patched when they are loaded.
    fn no_relocations(&self, index: SectionIndex, name: &str) -> Result<(), CubinError> {
        let patched = self.sections.iter().any(|section| {
            matches!(section.sh_type(LE), SHT_REL | SHT_RELA)
                && section.sh_info(LE) as usize == index.0
                && section.sh_size(LE) > 0
        });
        if patched { unsupported(format!("relocations of {name}")) } else { Ok(()) }
    }

    /// The number of the symbol of a kernel.
    fn symbol(&self, entry: &str, text: SectionIndex) -> Result<u32, CubinError> {
        let symbols = self.sections.symbols(LE, self.data, SHT_SYMTAB)?;
        for (index, symbol) in symbols.enumerate() {
            if symbol.st_type() == STT_FUNC && symbols.symbol_name(LE, symbol)? == entry.as_bytes() {
                if symbols.symbol_section(LE, symbol, index)? != Some(text) {
                    return damaged(format!("{entry} does not lie in .text.{entry}"));
                }
                if symbol.st_value(LE) != 0 {
                    return unsupported(format!("{entry} does not begin with its section"));
                }
                return u32::try_from(index.0).or_else(|_| damaged("too many symbols"));
            }
        }
        Err(CubinError::NoEntry(entry.into()))
    }
}

impl Entry {
    pub(crate) fn read(data: &[u8], name: &str) -> Result<Entry, CubinError> {
        let header = Header::parse(data)?;
        if !header.is_little_endian() || header.e_machine(LE) != EM_CUDA {
            return unsupported("an ELF file for another machine".into());
        }
        let ident = header.e_ident();
        let abi = (ident.os_abi.0, ident.abi_version);
        if abi != ABI {
            return unsupported(format!(
                "OS/ABI {:#x} version {}, not {:#x} version {}",
                abi.0, abi.1, ABI.0, ABI.1
            ));
        }
        let sm = header.e_flags(LE).0 >> 8 & 0xff;
        let cubin = Cubin { data, sections: header.sections(LE, data)? };

        let text_name = format!(".text.{name}");
        let (text, section) = cubin.section(&text_name).ok_or_else(|| CubinError::NoEntry(name.into()))?;
        let code = cubin.bytes(section)?.to_vec();
        if code.is_empty() {
            return damaged(format!("{text_name} is empty"));
        }
        cubin.no_relocations(text, &text_name)?;
        let symbol = cubin.symbol(name, text)?;
        let mut entry = Entry {
            name: name.into(),
            sm,
            code,
            alignment: section.sh_addralign(LE).max(1),
            registers: 0,
            barriers: 0,
            params: 0..0,
            constants: 0,
            banks: Vec::new(),
            shared: 0,
            stack: 0,
        };
        entry.read_attributes(&cubin, symbol)?;
        entry.read_constants(&cubin)?;
        if let Some((_, section)) = cubin.section(&format!(".nv.shared.{name}")) {
            // The section has no bytes in the file, hence its size is not held to it.
            entry.shared =
                u32::try_from(section.sh_size(LE)).or_else(|_| damaged("shared memory without end"))?;
        }
        Ok(entry)
    }

    fn read_attributes(&mut self, cubin: &Cubin<'_>, symbol: u32) -> Result<(), CubinError> {
        // Of all kernels: pairs of the kernel's symbol and a value.
        for (attribute, value) in attributes(cubin.named(".nv.info")?)? {
            let target = match attribute {
                attribute::REGCOUNT => &mut self.registers,
                attribute::FRAME_SIZE | attribute::MIN_STACK_SIZE => &mut self.stack,
                _ => continue,
            };
            let [of, number] = words(value)?;
            if of == symbol {
                *target = number.max(*target);
            }
        }
        if self.registers == 0 {
            return damaged(format!("no register count of {}", self.name));
        }
        let mut size = None;
        for (attribute, value) in attributes(cubin.named(&format!(".nv.info.{}", self.name))?)? {
            match attribute {
                attribute::NUM_BARRIERS => self.barriers = value.first().copied().unwrap_or(0).into(),
                attribute::PARAM_CBANK => {
                    let [_, range] = words(value)?;
                    let (offset, size) = (range & 0xffff, range >> 16);
                    self.params = offset..offset + size;
                }
                attribute::CBANK_PARAM_SIZE => {
                    size = value.first_chunk().map(|&bytes| u32::from(u16::from_le_bytes(bytes)));
                }
                _ => {}
            }
        }
        if let Some(size) = size
            && size != self.params.end - self.params.start
        {
            return damaged(format!("two sizes of the parameters of {}", self.name));
        }
        Ok(())
    }

    fn read_constants(&mut self, cubin: &Cubin<'_>) -> Result<(), CubinError> {
        let own = cubin.named(&format!(".nv.constant0.{}", self.name))?.len();
        let own = u32::try_from(own).or_else(|_| damaged("constants without end"))?;
        self.constants = own.max(self.params.end);
        for bank in 1..BANKS {
            for name in [format!(".nv.constant{bank}"), format!(".nv.constant{bank}.{}", self.name)] {
                let Some((index, section)) = cubin.section(&name) else { continue };
                cubin.no_relocations(index, &name)?;
                if self.banks.iter().any(|(taken, _)| *taken == bank) {
                    return unsupported(format!("two sections of constant bank {bank}"));
                }
                self.banks.push((bank, cubin.bytes(section)?.to_vec()));
            }
        }
        Ok(())
    }
}

/// The attributes of a section: number and value.
fn attributes(mut bytes: &[u8]) -> Result<Vec<(u8, &[u8])>, CubinError> {
    const SIZED: u8 = 4;
    let mut found = Vec::new();
    while let Some((&[format, attribute, low, high], rest)) = bytes.split_first_chunk() {
        let inline = &bytes[2..4];
        bytes = rest;
        match format {
            // Nothing, a byte or a half word, in the same word.
            1..=3 => found.push((attribute, inline)),
            SIZED => {
                let size = u16::from_le_bytes([low, high]).into();
                let Some((value, rest)) = bytes.split_at_checked(size) else {
                    return damaged(format!("attribute {attribute:#04x} is longer than its section"));
                };
                found.push((attribute, value));
                bytes = rest;
            }
            _ => return damaged(format!("attribute {attribute:#04x} has format {format}")),
        }
    }
    if bytes.is_empty() { Ok(found) } else { damaged("an attribute is cut off") }
}

/// The two words of a value.
fn words(value: &[u8]) -> Result<[u32; 2], CubinError> {
    let word =
        |at: usize| value.get(at..).and_then(|v| v.first_chunk()).map(|&bytes| u32::from_le_bytes(bytes));
    match (value.len(), word(0), word(4)) {
        (8, Some(first), Some(second)) => Ok([first, second]),
        (length, ..) => damaged(format!("an attribute of {length} bytes, not 8")),
    }
}
