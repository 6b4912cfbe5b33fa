//! Compares our layouts and numbers with NVIDIA's headers, release by release.

use std::fmt::Write as _;
use std::path::Path;

use nvkernel_sys::bits::{Field, TABLES};
use nvkernel_sys::layout::{Abi, StructId};
use nvkernel_sys::{class, ctrl, ioctl};

use crate::classes;
use crate::error::Error;
use crate::probe::{LIBC, PROBE, probe};
use crate::record::{self, Record, Records};
use crate::source::{self, Headers};

/// The headers that declare what is compared; those that a release lacks are left out.
const HEADERS: &[&str] = &[
    "nvos.h",
    "nv_escape.h",
    "nv-ioctl-numbers.h",
    "nv-ioctl.h",
    "nv-unix-nvos-params-wrappers.h",
    "alloc/alloc_channel.h",
    "class/cl0000.h",
    "class/cl0002.h",
    "class/cl0005.h",
    "class/cl003e.h",
    "class/cl0040.h",
    "class/cl0070.h",
    "class/cl0071.h",
    "class/cl0080.h",
    "class/cl2080.h",
    "class/cl50a0.h",
    "class/cl83de.h",
    "class/cl9067.h",
    "class/cl90f1.h",
    "class/cla06c.h",
    "class/clb0b5sw.h",
    "class/clc461.h",
    "class/clc561.h",
    "class/clc637.h",
    "class/clc661.h",
    "class/clc761.h",
    "class/clc46f.h",
    "class/clc56f.h",
    "class/clc86f.h",
    "class/clc96f.h",
    "class/clca6f.h",
    "class/clc5b5.h",
    "class/clc6b5.h",
    "class/clc7b5.h",
    "class/clc8b5.h",
    "class/clc9b5.h",
    "class/clcab5.h",
    "class/clc5c0.h",
    "class/clc6c0.h",
    "class/clc7c0.h",
    "class/clc9c0.h",
    "class/clcbc0.h",
    "class/clcdc0.h",
    "class/clcec0.h",
    "class/clb6b0.h",
    "class/clc1b0.h",
    "class/clc2b0.h",
    "class/clc3b0.h",
    "class/clc4b0.h",
    "class/clc6b0.h",
    "class/clb8b0.h",
    "class/clc7b0.h",
    "class/clc9b0.h",
    "class/clcdb0.h",
    "class/clceb0.h",
    "class/clcfb0.h",
    "class/cld1b0.h",
    "class/clc4d1.h",
    "class/clb8d1.h",
    "class/clc9d1.h",
    "class/clcdd1.h",
    "class/clced0.h",
    "class/clcfd1.h",
    "class/clb8fa.h",
    "class/clc6fa.h",
    "class/clc7fa.h",
    "class/clc9fa.h",
    "class/clcdfa.h",
    "class/clcefa.h",
    "class/clcffa.h",
    "class/cld1fa.h",
    "ctrl/ctrl0000/ctrl0000gpu.h",
    "ctrl/ctrl0000/ctrl0000system.h",
    "ctrl/ctrl0000/ctrl0000unix.h",
    "ctrl/ctrl0041.h",
    "ctrl/ctrl0080/ctrl0080gpu.h",
    "ctrl/ctrl0080/ctrl0080bsp.h",
    "ctrl/ctrl2080/ctrl2080event.h",
    "ctrl/ctrl2080/ctrl2080fb.h",
    "ctrl/ctrl2080/ctrl2080gpu.h",
    "ctrl/ctrl2080/ctrl2080gr.h",
    "ctrl/ctrl2080/ctrl2080mc.h",
    "ctrl/ctrl2080/ctrl2080perf.h",
    "ctrl/ctrl2080/ctrl2080tmr.h",
    "ctrl/ctrl906f.h",
    "ctrl/ctrla06c.h",
    "ctrl/ctrla06f.h",
    "ctrl/ctrla06f/ctrla06fgpfifo.h",
    "ctrl/ctrlc36f.h",
];

/// Structures that some releases call by another name.
const RENAMED: &[(&str, &str)] = &[("NV_BSP_ALLOCATION_PARAMETERS", "NV_NVDEC_ALLOCATION_PARAMETERS")];

/// Fields that NVIDIA nests deeper than we do.
const NESTED: &[(&str, &str, &str)] = &[
    ("NvNotification", "nanoseconds", "timeStamp.nanoseconds"),
    ("NV0000_CTRL_OS_UNIX_EXPORT_OBJECT", "hDevice", "data.rmObject.hDevice"),
    ("NV0000_CTRL_OS_UNIX_EXPORT_OBJECT", "hParent", "data.rmObject.hParent"),
    ("NV0000_CTRL_OS_UNIX_EXPORT_OBJECT", "hObject", "data.rmObject.hObject"),
];

/// Bit tables and the start of NVIDIA's names for them.
const PREFIXES: &[(&str, &str)] = &[
    ("nvos02_flags", "NVOS02_FLAGS"),
    ("nvos33_flags", "NVOS33_FLAGS"),
    ("nvos46_flags", "NVOS46_FLAGS"),
    ("perf_boost_flags", "NV2080_CTRL_PERF_BOOST_FLAGS"),
    ("memory_attr", "NVOS32_ATTR"),
    ("memory_attr2", "NVOS32_ATTR2"),
    ("sem_execute", "NVC56F_SEM_EXECUTE"),
    ("wfi", "NVC56F_WFI"),
    ("mem_op_a", "NVC56F_MEM_OP_A"),
    ("mem_op_c", "NVC56F_MEM_OP_C"),
    ("mem_op_d", "NVC56F_MEM_OP_D"),
    ("method_header", "NVC56F_DMA"),
    ("launch_dma", "NVC5B5_LAUNCH_DMA"),
    ("launch_dma", "NVC8B5_LAUNCH_DMA"),
    ("set_remap_components", "NVC5B5_SET_REMAP_COMPONENTS"),
    ("block_size", "NVC5B5_SET_DST_BLOCK_SIZE"),
    ("block_size", "NVC5B5_SET_SRC_BLOCK_SIZE"),
    ("origin", "NVC5B5_SET_DST_ORIGIN"),
];

/// One C file that includes the headers and compares every number that has a macro.
fn translation_unit() -> String {
    let mut source = String::from("#include \"nvtypes.h\"\n");
    for header in HEADERS {
        let _ = writeln!(source, "#if __has_include(\"{header}\")\n#include \"{header}\"\n#endif");
    }
    let escapes = ioctl::ESCAPES.iter().map(|e| (e.nr, e.name));
    let classes = class::CLASSES.iter().map(|c| (c.id, c.name));
    for (value, name) in ctrl::COMMANDS.iter().copied().chain(escapes).chain(classes) {
        probe(&mut source, name, &format!("({name}) == {value:#x}"));
    }
    for (table, prefix) in PREFIXES {
        let fields = TABLES.iter().filter(|t| t.name == *table).flat_map(|t| t.fields);
        for Field { name, hi, lo, values, .. } in fields {
            // NVIDIA's `hi:lo` reads as the two branches of a conditional expression.
            let macro_name = format!("{prefix}_{name}");
            probe(
                &mut source,
                &macro_name,
                &format!("(1 ? {macro_name}) == {hi} && (0 ? {macro_name}) == {lo}"),
            );
            for (suffix, value) in *values {
                let macro_name = format!("{prefix}_{name}_{suffix}");
                probe(&mut source, &macro_name, &format!("({macro_name}) == {value:#x}"));
            }
        }
    }
    source
}

/// What a comparison found.
#[derive(Default)]
struct Findings {
    structures: usize,
    fields: usize,
    numbers: usize,
    differences: Vec<String>,
}

fn compare_structure(abi: &Abi, id: StructId, records: &Records, out: &mut Findings) {
    let info = id.info();
    let renamed = RENAMED.iter().filter(|r| r.0 == info.name).map(|r| r.1);
    let found: Option<&Record> = std::iter::once(info.name).chain(renamed).find_map(|name| records.get(name));
    let record = match (found, abi.has(id)) {
        (Some(record), true) => record,
        (None, false) => return,
        (None, true) => return out.differences.push(format!("{} is not in the headers", info.name)),
        (Some(_), false) => {
            return out.differences.push(format!("{} is in the headers, against our table", info.name));
        }
    };
    out.structures += 1;
    let size = abi.size_of_id(id);
    if record.size != size {
        out.differences.push(format!("{}: {size} bytes, in the headers {}", info.name, record.size));
    }
    let fields: Vec<(&str, usize, usize)> = match abi.layout(id) {
        Some(layout) => layout.fields().iter().map(|f| (f.name, f.offset, f.size)).collect(),
        None => info.fields.iter().map(|f| (f.name, f.offset.into(), f.size.into())).collect(),
    };
    for &(name, offset, size) in &fields {
        out.fields += 1;
        let nested = NESTED.iter().find(|n| n.0 == info.name && n.1 == name);
        match record.field(nested.map_or(name, |n| n.2)) {
            Some(f) if (f.offset, f.size) == (offset, size) => {}
            Some(f) => out.differences.push(format!(
                "{}.{name}: {size} bytes at {offset}, in the headers {} at {}",
                info.name, f.size, f.offset
            )),
            None => out.differences.push(format!("{}.{name} is not in the headers", info.name)),
        }
    }
    for theirs in &record.fields {
        let ours = fields.iter().any(|f| f.0 == theirs.name);
        let nested =
            NESTED.iter().any(|n| n.0 == info.name && n.2.split('.').next() == Some(theirs.name.as_str()));
        if !ours && !nested {
            out.differences.push(format!("{}.{} is only in the headers", info.name, theirs.name));
        }
    }
}

fn check_headers(headers: &Headers) -> Result<bool, Error> {
    let include = headers.include();
    let include: Vec<&Path> = include.iter().map(AsRef::as_ref).collect();
    let source = translation_unit();
    let libc: Vec<(String, &str)> =
        LIBC.iter().map(|(name, text)| (include[0].join(name).display().to_string(), *text)).collect();
    let libc: Vec<(&str, &str)> = libc.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let records = record::parse(&headers.version.to_string(), &source, &include, &libc)?;
    let abi = Abi::for_version(headers.version);
    let mut out = Findings::default();
    for id in StructId::all() {
        compare_structure(&abi, id, &records, &mut out);
    }
    for (name, record) in &records {
        if let Some(name) = name.strip_prefix(PROBE) {
            out.numbers += 1;
            if record.size != 1 {
                out.differences.push(format!("{name} has another value in the headers"));
            }
        }
    }
    println!(
        "{}: {} structures, {} fields, {} numbers compared, {} differences ({:?})",
        headers.version,
        out.structures,
        out.fields,
        out.numbers,
        out.differences.len(),
        abi.matching()
    );
    for difference in &out.differences {
        println!("    {difference}");
    }
    Ok(out.differences.is_empty())
}

/// Checks the checkout at `path`, or each of `tags` of the repository there; `false` when anything differs. A checkout
/// of open-gpu-doc is compared with the tables of the engine classes.
pub(crate) fn check(path: &Path, tags: &[String]) -> Result<bool, Error> {
    if tags.is_empty() && path.join("classes").is_dir() {
        return classes::check(path);
    }
    if tags.is_empty() {
        return check_headers(&Headers::checkout(path)?);
    }
    let all;
    let tags = if tags == ["all"] {
        all = source::tags(path)?;
        all.as_slice()
    } else {
        tags
    };
    let mut clean = true;
    for tag in tags {
        clean &= check_headers(&Headers::tag(path, tag)?)?;
    }
    Ok(clean)
}
