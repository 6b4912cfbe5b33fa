//! The kernel's answers to a whole decode, as recorded on an H200, against those of the emulated machine: the
//! same calls in the same order, and the same answers, field by field.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use hcq::kernel::TracingKernel;
use nvkernel_sys::layout::{Abi, DriverVersion, StructId};

use super::support::stream;

#[path = "../../examples/ioctl_trace/sequence.rs"]
mod sequence;

/// `cargo run --release --example ioctl_trace -- x_wpp.hevc` on an H200 with driver 580.159.04, as root.
const RECORDED: &str = include_str!("../data/h200_580.159.04.trace");

/// A field in which the two may differ.
struct Exception {
    /// Ends the name of the call.
    call: &'static str,
    part: &'static str,
    structure: &'static str,
    field: &'static str,
}

const fn exception(
    call: &'static str,
    part: &'static str,
    structure: &'static str,
    field: &'static str,
) -> Exception {
    Exception { call, part, structure, field }
}

const EXCEPTIONS: &[Exception] = &[
    // Where the board sits and what the host gave it.
    exception("NV_ESC_CARD_INFO", "arg", "nv_ioctl_card_info_t", "pci_info"),
    exception("NV_ESC_CARD_INFO", "arg", "nv_ioctl_card_info_t", "gpu_id"),
    exception("NV_ESC_CARD_INFO", "arg", "nv_ioctl_card_info_t", "interrupt_line"),
    exception("NV_ESC_CARD_INFO", "arg", "nv_ioctl_card_info_t", "reg_address"),
    exception("NV_ESC_CARD_INFO", "arg", "nv_ioctl_card_info_t", "fb_address"),
    exception("GPU_GET_ID_INFO_V2", "params", "NV0000_CTRL_GPU_GET_ID_INFO_V2_PARAMS", "gpuId"),
    exception("GPU_GET_ID_INFO_V2", "params", "NV0000_CTRL_GPU_GET_ID_INFO_V2_PARAMS", "boardId"),
    // Addresses.
    exception("NV01_MEMORY_SYSTEM", "params", "NV_MEMORY_ALLOCATION_PARAMS", "offset"),
    exception("NV01_MEMORY_LOCAL_USER", "params", "NV_MEMORY_ALLOCATION_PARAMS", "offset"),
    exception("NV_ESC_RM_MAP_MEMORY", "arg", "NVOS33_PARAMETERS", "pLinearAddress"),
    exception("NV_ESC_RM_UNMAP_MEMORY", "arg", "NVOS34_PARAMETERS", "pLinearAddress"),
    // The recorded process was root, whose channels are privileged; the emulated machine's are those of a user.
    exception("HOPPER_CHANNEL_GPFIFO_A", "params", "NV_CHANNEL_ALLOC_PARAMS", "flags"),
    // Which channel of the machine it is.
    exception("HOPPER_CHANNEL_GPFIFO_A", "params", "NV_CHANNEL_ALLOC_PARAMS", "cid"),
    exception(
        "GET_WORK_SUBMIT_TOKEN",
        "params",
        "NVC36F_CTRL_CMD_GPFIFO_GET_WORK_SUBMIT_TOKEN_PARAMS",
        "workSubmitToken",
    ),
    // The emulated machine has the engines and classes that a driver of this kind can use; see `subsets`.
    exception("GPU_GET_ENGINES", "params", "NV2080_CTRL_GPU_GET_ENGINES_PARAMS", "engineCount"),
    exception("GPU_GET_CLASSLIST", "params", "NV0080_CTRL_GPU_GET_CLASSLIST_PARAMS", "numClasses"),
];

/// One line of a trace.
#[derive(Debug)]
struct Call {
    /// Name and outcome, without descriptor numbers and doorbell tokens.
    what: String,
    /// Descriptor that was opened or used.
    descriptor: Option<String>,
    parts: Vec<Part>,
}

#[derive(Debug)]
struct Part {
    name: String,
    before: Vec<u8>,
    after: Vec<u8>,
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Call {
    fn parse(line: &str) -> Call {
        let (head, rest) = match line.split_once(" arg ") {
            Some((head, rest)) => (head, format!("arg {rest}")),
            None => (line, String::new()),
        };
        let is_descriptor =
            |w: &&str| w.strip_prefix('d').is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
        let words = head.split(' ').filter(|w| !is_descriptor(w) && !w.starts_with("0x"));
        let mut call = Call {
            what: words.collect::<Vec<_>>().join(" "),
            descriptor: head.split(' ').find(is_descriptor).map(str::to_owned),
            parts: Vec::new(),
        };
        let mut words = rest.split(' ').filter(|w| !w.is_empty());
        while let Some(name) = words.next() {
            let before = bytes(words.next().unwrap());
            let after = match (name, words.clone().next()) {
                ("list", _) => before.clone(),
                (_, Some("=")) => {
                    words.next();
                    before.clone()
                }
                _ => bytes(words.next().unwrap()),
            };
            call.parts.push(Part { name: name.to_owned(), before, after });
        }
        call
    }

    fn part(&self, name: &str) -> &Part {
        self.parts.iter().find(|part| part.name == name).unwrap()
    }

    fn is(&self, name: &str) -> bool {
        self.what.split(' ').any(|word| word == name)
    }
}

/// The calls of a trace, less those that luck decides on: a wait sleeps, and makes an event for it, only if the
/// engine was slow.
fn calls<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Call> {
    let all: Vec<_> = lines.filter(|line| !line.starts_with('#')).map(Call::parse).collect();
    let of_events = |call: &Call| call.is("NV_ESC_ALLOC_OS_EVENT") || call.is("NV_ESC_FREE_OS_EVENT");
    let descriptors: BTreeSet<_> =
        all.iter().filter(|c| of_events(c)).filter_map(|c| c.descriptor.clone()).collect();
    let objects = all.iter().filter(|c| c.is("NV01_EVENT_OS_EVENT") && c.is("NV_ESC_RM_ALLOC"));
    let objects: BTreeSet<_> = objects.map(|c| word(&c.part("arg").before, 8)).collect();
    let of_luck = |call: &Call| {
        of_events(call)
            || call.is("NV01_EVENT_OS_EVENT")
            || call.is("open") && call.descriptor.as_ref().is_some_and(|d| descriptors.contains(d))
            || call.is("NV_ESC_RM_FREE") && objects.contains(&word(&call.part("arg").before, 8))
    };
    all.into_iter().filter(|call| !of_luck(call)).collect()
}

/// Numbers handles in the order in which they appear: the client's is the kernel's choice, those of objects
/// depend on whether there were events.
#[derive(Default)]
struct Handles(HashMap<u32, u32>);

impl Handles {
    fn rename(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for word in bytes.chunks_exact_mut(4) {
            let value = u32::from_le_bytes(word.try_into().unwrap());
            if matches!(value, 0xc1d0_0000..=0xc1df_ffff | 0x1000_0000..=0x1000_00ff) {
                let next = 0xffff_0000 + self.0.len() as u32;
                word.copy_from_slice(&self.0.entry(value).or_insert(next).to_le_bytes());
            }
        }
        bytes
    }
}

/// GPU addresses are the client's to choose as well: they are told apart by the mapping that they lie in, the latest there.
#[derive(Default)]
struct Addresses(Vec<Range<u64>>);

impl Addresses {
    /// Takes note of a mapping.
    fn learn(&mut self, abi: &Abi, call: &Call) {
        if call.is("NV_ESC_RM_MAP_MEMORY_DMA") {
            let asked = &call.part("arg").before;
            let field = |field| {
                let bytes = &asked[place(abi, "NVOS46_PARAMETERS", field).0];
                u64::from_le_bytes(bytes.try_into().unwrap())
            };
            self.0.push(field("dmaOffset")..field("dmaOffset") + field("length"));
        }
    }

    fn rename(&self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for word in bytes.chunks_exact_mut(8) {
            let value = u64::from_le_bytes(word.try_into().unwrap());
            if let Some(number) = self.0.iter().rposition(|mapping| mapping.contains(&value)) {
                let renamed = 0xfffe << 48 | (number as u64) << 36 | (value - self.0[number].start);
                word.copy_from_slice(&renamed.to_le_bytes());
            }
        }
        bytes
    }
}

/// Where the recorded release has a field: its bytes, and the size of the structure.
fn place(abi: &Abi, structure: &str, field: &str) -> (Range<usize>, usize) {
    let id = StructId::of_name(structure).unwrap_or_else(|| panic!("no structure {structure}"));
    let range = match abi.layout(id) {
        Some(wire) => wire.fields().iter().find(|f| f.name == field).map(|f| f.offset..f.offset + f.size),
        None => id.info().fields.iter().find(|f| f.name == field).map(|f| {
            let start = usize::from(f.offset);
            start..start + usize::from(f.size)
        }),
    };
    (range.unwrap_or_else(|| panic!("no field {field} in {structure}")), abi.size_of_id(id))
}

impl Exception {
    fn covers(&self, abi: &Abi, call: &Call, part: &str, at: usize) -> bool {
        let (bytes, size) = place(abi, self.structure, self.field);
        // CARD_INFO's argument is an array.
        call.what.split(' ').any(|word| word.ends_with(self.call))
            && part == self.part
            && bytes.contains(&(at % size))
    }
}

/// Lists that the recorded machine answers more to, with what it must at least contain.
fn subsets(emulated: &Call, recorded: &Call) {
    let list = |call: &Call| -> BTreeSet<u32> {
        call.part("list").before.chunks_exact(4).map(|w| word(w, 0)).collect()
    };
    let more: Vec<_> = list(emulated).difference(&list(recorded)).copied().collect();
    assert!(more.is_empty(), "{} lists {more:#x?}, which the H200 does not", emulated.what);
}

/// `GPU_GET_ENGINE_CLASSLIST`'s answers by engine type; it is asked for every engine.
fn engine_classes(calls: &[Call]) -> BTreeMap<u32, &[u8]> {
    let asked = calls.iter().filter(|c| c.is("NV2080_CTRL_CMD_GPU_GET_ENGINE_CLASSLIST"));
    let answered = asked.filter(|c| c.parts.iter().any(|p| p.name == "list"));
    answered.map(|c| (word(&c.part("params").before, 0), c.part("list").before.as_slice())).collect()
}

#[test]
fn the_emulated_machine_answers_as_the_recorded_one() {
    let kernel = TracingKernel::new(std::sync::Arc::new(nvdec::emulated::h200().unwrap()));
    sequence::decode(&kernel, &stream("x_wpp")).unwrap();
    let lines = kernel.lines();
    let mut emulated = calls(lines.iter().map(String::as_str));
    let mut recorded = calls(RECORDED.lines());

    let video = |engine: &u32| (0x13..=0x1a).contains(engine);
    let (ours, theirs) = (engine_classes(&emulated), engine_classes(&recorded));
    assert_eq!(ours.keys().filter(|e| video(e)).count(), 7);
    for (engine, classes) in ours.iter().filter(|(engine, _)| video(engine)) {
        assert_eq!(Some(classes), theirs.get(engine), "classes of engine type {engine:#x}");
    }
    for calls in [&mut emulated, &mut recorded] {
        calls.retain(|c| !c.is("NV2080_CTRL_CMD_GPU_GET_ENGINE_CLASSLIST"));
    }

    let names = |calls: &[Call]| calls.iter().map(|c| c.what.clone()).collect::<Vec<_>>();
    assert_eq!(names(&emulated), names(&recorded));
    let (mut our_handles, mut their_handles) = (Handles::default(), Handles::default());
    let (mut our_addresses, mut their_addresses) = (Addresses::default(), Addresses::default());
    let abi = Abi::for_version(DriverVersion::new(580, 159, 4));
    let mut used = vec![false; EXCEPTIONS.len()];
    let mut wrong = Vec::new();
    for (index, (ours, theirs)) in emulated.iter().zip(&recorded).enumerate() {
        assert_eq!(ours.parts.len(), theirs.parts.len(), "{}", ours.what);
        our_addresses.learn(&abi, ours);
        their_addresses.learn(&abi, theirs);
        for (our, their) in ours.parts.iter().zip(&theirs.parts) {
            if our.name == "list" {
                subsets(ours, theirs);
                continue;
            }
            for (when, our_bytes, their_bytes) in
                [("asked", &our.before, &their.before), ("answered", &our.after, &their.after)]
            {
                let (our_bytes, their_bytes) =
                    (our_addresses.rename(our_bytes), their_addresses.rename(their_bytes));
                let (our_bytes, their_bytes) =
                    (our_handles.rename(&our_bytes), their_handles.rename(&their_bytes));
                assert_eq!(our_bytes.len(), their_bytes.len(), "{}", ours.what);
                for at in (0..our_bytes.len()).filter(|&at| our_bytes[at] != their_bytes[at]) {
                    match EXCEPTIONS.iter().position(|e| e.covers(&abi, ours, &our.name, at)) {
                        Some(exception) => used[exception] = true,
                        None => wrong.push(format!(
                            "call {index}, {}, {when} {} byte {at}: {:#04x}, recorded {:#04x}",
                            ours.what, our.name, our_bytes[at], their_bytes[at]
                        )),
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let stale = EXCEPTIONS.iter().zip(used).filter(|(_, used)| !used);
    let stale: Vec<_> = stale.map(|(e, _)| format!("{}.{}", e.structure, e.field)).collect();
    assert!(stale.is_empty(), "exceptions that differ nowhere: {stale:?}");
}
