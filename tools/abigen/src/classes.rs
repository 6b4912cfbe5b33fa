//! Compares methods, bit tables and the picture descriptor with the class headers of open-gpu-doc.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use nvkernel_sys::bits::{Field, TABLES, Table};
use nvkernel_sys::method::Method;
use nvkernel_sys::{compute, copy, host, video};

use crate::error::Error;
use crate::probe::{LIBC, PROBE, probe_as};
use crate::record::{self, Records, find_deep};

/// The headers, below `classes`.
const HEADERS: &[&str] = &[
    "compute/clcbc0.h",
    "compute/clc6c0qmd.h",
    "compute/clcbc0qmd.h",
    "compute/clcdc0qmd.h",
    "dma-copy/clc5b5.h",
    "dma-copy/clc8b5.h",
    "dma-copy/clcab5.h",
    "host/clc56f.h",
    "video/clc9b0.h",
    "video/nvdec_drv.h",
];

/// What some of the headers include and open-gpu-doc lacks.
const NVTYPES: (&str, &str) = (
    "nvtypes.h",
    "typedef __UINT8_TYPE__ NvU8;\ntypedef __UINT16_TYPE__ NvU16;\ntypedef __UINT32_TYPE__ NvU32;\n\
     typedef __UINT64_TYPE__ NvU64;\n",
);

/// Methods and the start of NVIDIA's names for them.
const METHODS: &[(&[Method], &str)] = &[
    (compute::METHODS, "NVCBC0"),
    (copy::METHODS, "NVC5B5"),
    (copy::METHODS, "NVC8B5"),
    (copy::METHODS, "NVCAB5"),
    (host::METHODS, "NVC56F"),
    (video::METHODS, "NVC9B0"),
];

/// Bit tables and the start of NVIDIA's names for them.
const PREFIXES: &[(&str, &str)] = &[
    ("invalidate_shader_caches", "NVCBC0_INVALIDATE_SHADER_CACHES"),
    ("invalidate_shader_caches", "NVCBC0_INVALIDATE_SHADER_CACHES_NO_WFI"),
    ("send_signaling_pcas2_b", "NVCBC0_SEND_SIGNALING_PCAS2_B"),
    ("set_report_semaphore_d", "NVCBC0_SET_REPORT_SEMAPHORE_D"),
    ("qmd_v03", "NVC6C0_QMDV03_00"),
    ("qmd_v04", "NVCBC0_QMDV04_00"),
    ("qmd_v05", "NVCDC0_QMDV05_00"),
    ("launch_dma", "NVC5B5_LAUNCH_DMA"),
    ("launch_dma", "NVC8B5_LAUNCH_DMA"),
    ("launch_dma", "NVCAB5_LAUNCH_DMA"),
    ("set_remap_components", "NVC8B5_SET_REMAP_COMPONENTS"),
    ("block_size", "NVC8B5_SET_SRC_BLOCK_SIZE"),
    ("origin", "NVC8B5_SET_SRC_ORIGIN"),
    ("sem_execute", "NVC56F_SEM_EXECUTE"),
    ("method_header", "NVC56F_DMA"),
    ("execute", "NVC9B0_EXECUTE"),
    ("semaphore_d", "NVC9B0_SEMAPHORE_D"),
    ("set_control_params", "NVC9B0_SET_CONTROL_PARAMS"),
];

/// Bit tables of structures that the headers declare as such.
const STRUCTURES: &[(&str, &str)] = &[("hevc_pic", "nvdec_hevc_pic_s"), ("nvdec_status", "nvdec_status_s")];

/// Names that no header of open-gpu-doc has: the video classes leave this one to the host's.
const UNPUBLISHED: &[&str] = &["B0::SET_OBJECT"];

fn table(name: &str) -> &'static Table {
    TABLES.iter().find(|t| t.name == name).expect("the names above are those of tables")
}

/// The comparisons of one C file: what each name of ours became, for every class that may have it.
#[derive(Default)]
struct Probes {
    source: String,
    labels: BTreeMap<String, Vec<String>>,
}

impl Probes {
    /// Adds a comparison that is made where the headers define macro `name`.
    fn add(&mut self, ours: &str, name: &str, index: usize, condition: &str) {
        let labels = self.labels.entry(ours.to_owned()).or_default();
        // Macros come up under more than one table, so labels are numbered.
        let label = format!("{name}_{index}_{}", labels.len());
        let label = format!("{}_{label}", ours.replace(|c: char| !c.is_ascii_alphanumeric(), "_"));
        probe_as(&mut self.source, name, &label, condition);
        labels.push(label);
    }

    fn field(&mut self, table: &str, prefix: &str, f: Field) {
        let ours = format!("{table}::{}", f.name);
        for i in 0..usize::from(f.count) {
            let lo = f.bit(i);
            let hi = lo + f.width() as usize - 1;
            let mut range = |name: &str, call: &str| {
                self.add(&ours, name, i, &format!("(1 ? {call}) == {hi} && (0 ? {call}) == {lo}"));
            };
            let name = format!("{prefix}_{}", f.name);
            if f.count == 1 {
                range(&name, &name);
                continue;
            }
            range(&name, &format!("{name}({i})"));
            // Some rows have the index inside the name: RELEASE_SEMAPHORE0_ADDR_LOWER.
            for (at, _) in f.name.match_indices('_') {
                let (start, end) = f.name.split_at(at);
                let name = format!("{prefix}_{start}{i}{end}");
                range(&name, &name);
            }
        }
        for (suffix, value) in f.values {
            let name = format!("{prefix}_{}_{suffix}", f.name);
            self.add(&format!("{ours}_{suffix}"), &name, 0, &format!("({name}) == {value:#x}"));
        }
    }

    fn method(&mut self, prefix: &str, m: &Method) {
        let ours = format!("{}::{}", prefix_family(prefix), m.name);
        let name = format!("{prefix}_{}", m.name);
        for i in 0..m.count {
            let address = m.address + i * m.stride;
            if m.count == 1 {
                self.add(&ours, &name, 0, &format!("({name}) == {address}"));
                continue;
            }
            // A row of methods is one macro with an argument, or one macro for each.
            let numbered = format!("{name}{i}");
            self.add(&ours, &numbered, 0, &format!("({numbered}) == {address}"));
            self.add(&ours, &name, i as usize, &format!("({name}({i})) == {address}"));
        }
    }
}

/// The engine of a class, the last two digits of its number.
fn prefix_family(prefix: &str) -> &str {
    &prefix[prefix.len() - 2..]
}

fn probes() -> Probes {
    // The headers of launch descriptors leave this macro to the files that include them.
    let mut probes = Probes { source: String::from("#define MW(range) range\n"), ..Probes::default() };
    for header in HEADERS {
        let _ = writeln!(probes.source, "#include \"{header}\"");
    }
    for (methods, prefix) in METHODS {
        for m in *methods {
            probes.method(prefix, m);
        }
    }
    for (name, prefix) in PREFIXES {
        for f in table(name).fields {
            probes.field(name, prefix, *f);
        }
    }
    probes
}

/// Compares a bit table with a structure, bit by bit; how many fields, and what differs.
fn compare(ours: &Table, name: &str, records: &Records) -> (usize, Vec<String>) {
    let Some(record) = records.get(name) else {
        return (0, vec![format!("{name} is not in the headers")]);
    };
    let mut differences = Vec::new();
    if record.size != ours.size {
        differences.push(format!("{name}: {} bytes, in the headers {}", ours.size, record.size));
    }
    for f in ours.fields {
        let bits = f.bit(0)..f.bit(usize::from(f.count) - 1) + f.width() as usize;
        // Positions are one word in the headers and two fields here.
        let half = f.name.strip_suffix("_x").or(f.name.strip_suffix("_y"));
        let theirs = find_deep(&record.fields, f.name).or_else(|| find_deep(&record.fields, half?));
        match theirs.map(|t| t.bit..t.bit + t.width) {
            None => differences.push(format!("{name}.{} is not in the headers", f.name)),
            Some(t) if t == bits => {}
            Some(t) if half.is_some() && t.start <= bits.start && bits.end <= t.end => {}
            Some(t) => differences.push(format!("{name}.{}: bits {bits:?}, in the headers {t:?}", f.name)),
        }
    }
    (ours.fields.len(), differences)
}

/// Checks a checkout of open-gpu-doc; `false` when anything differs.
pub(crate) fn check(root: &Path) -> Result<bool, Error> {
    let dir: PathBuf = root.join("classes");
    let libc: Vec<(String, &str)> = LIBC
        .iter()
        .chain([&NVTYPES])
        .map(|(name, text)| (dir.join(name).display().to_string(), *text))
        .collect();
    let libc: Vec<(&str, &str)> = libc.iter().map(|(name, text)| (name.as_str(), *text)).collect();
    let probes = probes();
    let records = record::parse("open-gpu-doc", &probes.source, &[&dir], &libc)?;
    let mut differences = Vec::new();
    let mut numbers = 0;
    for (ours, labels) in &probes.labels {
        let found: Vec<_> = labels.iter().filter_map(|l| records.get(&format!("{PROBE}{l}"))).collect();
        numbers += found.len();
        if found.iter().any(|r| r.size != 1) {
            differences.push(format!("{ours} has another value in the headers"));
        }
        if found.is_empty() && !UNPUBLISHED.contains(&ours.as_str()) {
            differences.push(format!("{ours} is not in the headers"));
        }
    }
    let mut fields = 0;
    for (ours, theirs) in STRUCTURES {
        let (count, found) = compare(table(ours), theirs, &records);
        fields += count;
        differences.extend(found);
    }
    println!("open-gpu-doc: {numbers} numbers, {fields} fields compared, {} differences", differences.len());
    for difference in &differences {
        println!("    {difference}");
    }
    Ok(differences.is_empty())
}
