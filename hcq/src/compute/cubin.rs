//! [`Cubin`]: what a compiled GPU program says of its kernels.
//!
//! A cubin is an ELF file of NVIDIA's. What a launch needs lies in its sections' sizes and in attributes (`EIATTR`) of the
//! `.nv.info` sections, each of which begins with a format, an attribute and 16 bits of value or length. Attributes that are
//! not needed are passed over.

use std::collections::BTreeMap;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, SectionHeader, SectionTable, Sym, SymbolTable};
use object::{LittleEndian, SectionIndex, SymbolIndex};

/// `e_machine` of GPU code (`EM_CUDA`).
const EM_CUDA: u16 = 190;
/// OS/ABI of files whose flags have the architecture in bits 15:8; those before it are of compilers before CUDA 13.
const OSABI: u8 = 0x41;
/// Largest file that is looked at, in bytes.
const MAX_BYTES: usize = 256 << 20;
/// Code begins at multiples of this, at least.
const CODE_ALIGNMENT: u64 = 128;
/// Constant banks begin at multiples of this.
const BANK_ALIGNMENT: u64 = 256;
/// So much of what can be fetched behind the last instruction is the image's.
const PREFETCH: u64 = 4096;
/// Bytes of an instruction.
const INSTRUCTION: u64 = 16;
/// Most registers of a thread, and most named barriers of a block.
const MAX_REGISTERS: u32 = 255;
const MAX_BARRIERS: u32 = 16;
/// Banks that a launch can have.
pub(crate) const BANKS: usize = 8;

/// Formats of an attribute.
mod format {
    /// A length, and as many bytes behind it.
    pub(super) const SIZED: u8 = 4;
}

/// Attributes (`EIATTR_*`).
mod attribute {
    /// Symbol, offset in bank 0 and bytes of the parameters.
    pub(super) const PARAM_CBANK: u8 = 0x0a;
    /// Most threads of a block, by dimension: the kernel's launch bounds.
    pub(super) const MAX_THREADS: u8 = 0x05;
    /// Threads of a block that the kernel demands, by dimension.
    pub(super) const REQUIRED_THREADS: u8 = 0x10;
    /// Symbol, and bytes of stack of a thread.
    pub(super) const FRAME_SIZE: u8 = 0x11;
    /// Symbol, and least bytes of stack of a thread.
    pub(super) const MIN_STACK_SIZE: u8 = 0x12;
    /// Bytes of the parameters.
    pub(super) const CBANK_PARAM_SIZE: u8 = 0x19;
    /// Symbol, and registers of a thread.
    pub(super) const REGCOUNT: u8 = 0x2f;
    /// Named barriers.
    pub(super) const NUM_BARRIERS: u8 = 0x4c;
}

/// Why a cubin cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CubinError {
    /// It is no ELF file, or one that is cut off or contradicts itself.
    #[error("not a cubin: {0}")]
    Malformed(String),
    /// It is an ELF file of something else.
    #[error(
        "not a cubin of this ABI: {what} is {found:#x}, and {wanted:#x} is known; compile it with CUDA 13 (nvcc -cubin -arch=sm_NN)"
    )]
    Abi {
        /// The field of the ELF header.
        what: &'static str,
        /// What it is.
        found: u32,
        /// What it should be.
        wanted: u32,
    },
    /// It is code for another GPU.
    #[error("the cubin is for sm_{cubin}, and the GPU is sm_{gpu}: compile it with -arch=sm_{gpu}")]
    Architecture {
        /// Of the cubin.
        cubin: u32,
        /// Of the GPU.
        gpu: u32,
    },
    /// None of several cubins is for the GPU.
    #[error("there is no cubin for sm_{gpu}, only for {offered}")]
    NoneFits {
        /// Architecture of the GPU.
        gpu: u32,
        /// Those that there are.
        offered: String,
    },
    /// A relocation that the loader does not know.
    #[error("{section} has a relocation of type {kind:#x} to {symbol:?}, which is not known")]
    Relocation {
        /// Section that it changes.
        section: String,
        /// Its type (`R_CUDA_*`).
        kind: u32,
        /// What it points to.
        symbol: String,
    },
    /// There is no kernel of that name.
    #[error("the cubin has no kernel {name:?}, only {offered}")]
    NoKernel {
        /// Name asked for.
        name: String,
        /// Those that there are.
        offered: String,
    },
}

fn malformed(what: impl Into<String>) -> CubinError {
    CubinError::Malformed(what.into())
}

/// A kernel of a cubin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelInfo {
    /// Entry symbol.
    pub name: String,
    /// Offset of the code in the image.
    pub(crate) code: u64,
    /// Registers of a thread.
    pub registers: u32,
    /// Named barriers.
    pub barriers: u32,
    /// Bytes of shared memory of a block, without what a launch adds.
    pub shared: u32,
    /// Bytes of stack of a thread.
    pub stack: u32,
    /// Most threads of a block, if the kernel says so.
    pub max_threads: Option<u32>,
    /// Threads of a block that it demands, by dimension, if it does.
    pub required_threads: Option<[u32; 3]>,
    /// Offset of the parameters in constant bank 0.
    pub(crate) parameters_at: u32,
    /// Bytes of the parameters.
    pub parameters: u32,
    /// Bytes of constant bank 0.
    pub(crate) bank: u32,
    /// Other constant banks, by number: offset and bytes in the image.
    pub(crate) constants: Vec<(usize, u64, u32)>,
}

/// What is to be put into an image that is loaded somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Relocation {
    /// Where in the image.
    pub(crate) at: u64,
    pub(crate) part: Part,
    /// Offset in the image of what it points to.
    pub(crate) target: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Low,
    High,
}

/// A cubin, looked through: architecture, kernels, and the image to load.
#[derive(Clone, Debug)]
pub struct Cubin {
    architecture: u32,
    kernels: Vec<KernelInfo>,
    pub(crate) image: Vec<u8>,
    pub(crate) relocations: Vec<Relocation>,
}

type Endian = LittleEndian;
type Sections<'a> = SectionTable<'a, FileHeader64<Endian>>;
type Symbols<'a> = SymbolTable<'a, FileHeader64<Endian>>;

impl From<object::read::Error> for CubinError {
    fn from(error: object::read::Error) -> Self {
        malformed(error.to_string())
    }
}

/// The architecture that a cubin says it is for, such as 90.
///
/// # Errors
///
/// [`CubinError::Malformed`] and [`CubinError::Abi`].
pub(super) fn architecture(bytes: &[u8]) -> Result<u32, CubinError> {
    let header = header(bytes)?;
    Ok(header.e_flags(LittleEndian).0 >> 8 & 0xff)
}

fn header(bytes: &[u8]) -> Result<&FileHeader64<Endian>, CubinError> {
    if bytes.len() > MAX_BYTES {
        return Err(malformed(format!("{} bytes are more than {MAX_BYTES}", bytes.len())));
    }
    let header = FileHeader64::<Endian>::parse(bytes)?;
    if !header.is_little_endian() {
        return Err(malformed("a big-endian file"));
    }
    let abi = |what, found: u32, wanted: u32| match found == wanted {
        true => Ok(()),
        false => Err(CubinError::Abi { what, found, wanted }),
    };
    abi("e_machine", header.e_machine(LittleEndian).0.into(), EM_CUDA.into())?;
    abi("EI_OSABI", header.e_ident().os_abi.0.into(), OSABI.into())?;
    Ok(header)
}

impl Cubin {
    /// Looks through a cubin.
    ///
    /// # Errors
    ///
    /// [`CubinError`] for what is none, is of another ABI, or needs what the loader does not do.
    pub fn parse(bytes: &[u8]) -> Result<Cubin, CubinError> {
        let header = header(bytes)?;
        let architecture = architecture(bytes)?;
        let sections = header.sections(LittleEndian, bytes)?;
        let symbols = sections.symbols(LittleEndian, bytes, elf::SHT_SYMTAB)?;
        let placed = Placed::new(&sections, bytes)?;
        let attributes = Attributes::new(&sections, bytes)?;
        let mut kernels = Vec::new();
        for (index, symbol) in symbols.enumerate() {
            if symbol.st_type() != elf::STT_FUNC || symbol.st_bind() == elf::STB_LOCAL {
                continue;
            }
            let name = text(symbols.symbol_name(LittleEndian, symbol)?)?;
            let Some(section) = symbols.symbol_section(LittleEndian, symbol, index)? else { continue };
            // Functions that are called and no kernels have no bank of parameters.
            if sections.section_by_name(LittleEndian, format!(".nv.constant0.{name}").as_bytes()).is_none() {
                continue;
            }
            let value = symbol.st_value(LittleEndian);
            kernels.push(kernel(&sections, &placed, &attributes, (name, index.0 as u32, section, value))?);
        }
        if kernels.is_empty() {
            return Err(malformed("it has no kernels"));
        }
        let relocations = relocations(&sections, &symbols, &placed, bytes)?;
        Ok(Cubin { architecture, kernels, image: placed.image, relocations })
    }

    /// The architecture that it is for, as in `sm_90`.
    pub fn architecture(&self) -> u32 {
        self.architecture
    }

    /// Its kernels.
    pub fn kernels(&self) -> &[KernelInfo] {
        &self.kernels
    }

    /// The kernel with entry symbol `name`.
    ///
    /// # Errors
    ///
    /// [`CubinError::NoKernel`].
    pub fn kernel(&self, name: &str) -> Result<&KernelInfo, CubinError> {
        self.kernels.iter().find(|kernel| kernel.name == name).ok_or_else(|| {
            let offered: Vec<_> = self.kernels.iter().map(|kernel| kernel.name.as_str()).collect();
            CubinError::NoKernel { name: name.into(), offered: offered.join(", ") }
        })
    }
}

fn text(bytes: &[u8]) -> Result<String, CubinError> {
    Ok(std::str::from_utf8(bytes).map_err(|_| malformed("a name that is no text"))?.to_owned())
}

/// The sections that are loaded: code, constants other than those of bank 0, and variables.
struct Placed {
    image: Vec<u8>,
    /// Offset in the image, and bytes, by number of the section.
    at: BTreeMap<usize, (u64, u64)>,
}

impl Placed {
    fn new(sections: &Sections<'_>, bytes: &[u8]) -> Result<Placed, CubinError> {
        let mut placed = Placed { image: Vec::new(), at: BTreeMap::new() };
        for (index, section) in sections.enumerate() {
            let name = sections.section_name(LittleEndian, section)?;
            let is_code = name.starts_with(b".text.");
            let is_loaded = is_code
                || name.starts_with(b".nv.global")
                || name.starts_with(b".nv.constant") && !name.starts_with(b".nv.constant0");
            if !is_loaded {
                continue;
            }
            let least = if is_code { CODE_ALIGNMENT } else { BANK_ALIGNMENT };
            let alignment = section.sh_addralign(LittleEndian).max(least);
            if !alignment.is_power_of_two() || alignment > 1 << 16 {
                return Err(malformed(format!("a section is to be aligned to {alignment}")));
            }
            let size = section.sh_size(LittleEndian);
            let at = (placed.image.len() as u64).next_multiple_of(alignment);
            // No more than the file has, or the limit for what is not in it.
            let end = at.checked_add(size).filter(|&end| end <= MAX_BYTES as u64);
            let end = end.ok_or_else(|| malformed(format!("a section of {size} bytes")))?;
            placed.image.resize(end as usize, 0);
            if section.sh_type(LittleEndian) != elf::SHT_NOBITS {
                let data = section.data(LittleEndian, bytes)?;
                placed.image[at as usize..end as usize].copy_from_slice(data);
            }
            placed.at.insert(index.0, (at, size));
        }
        let end = placed.image.len() + PREFETCH as usize;
        placed.image.resize(end.next_multiple_of(BANK_ALIGNMENT as usize), 0);
        Ok(placed)
    }
}

/// What `.nv.info` and `.nv.info.NAME` say.
struct Attributes {
    /// Those with a symbol, by attribute and symbol.
    by_symbol: BTreeMap<(u8, u32), u32>,
    /// Those of a kernel, by attribute and kernel.
    by_kernel: BTreeMap<(u8, String), Vec<u8>>,
}

impl Attributes {
    fn new(sections: &Sections<'_>, bytes: &[u8]) -> Result<Attributes, CubinError> {
        let mut attributes = Attributes { by_symbol: BTreeMap::new(), by_kernel: BTreeMap::new() };
        for section in sections.iter() {
            let name = sections.section_name(LittleEndian, section)?;
            let Some(of) = name.strip_prefix(b".nv.info") else { continue };
            let of = of.strip_prefix(b".").map(text).transpose()?;
            let mut rest = section.data(LittleEndian, bytes)?;
            while let Some((head, behind)) = rest.split_at_checked(4) {
                let [format, attribute, low, high] = [head[0], head[1], head[2], head[3]];
                let length = usize::from(u16::from_le_bytes([low, high]));
                let (value, behind) = match format {
                    format::SIZED => behind.split_at_checked(length).ok_or_else(|| {
                        malformed(format!("attribute {attribute:#x} of {length} bytes is cut off"))
                    })?,
                    _ => (&head[2..], behind),
                };
                rest = behind;
                match (&of, value) {
                    (None, [a, b, c, d, e, f, g, h]) => {
                        let symbol = u32::from_le_bytes([*a, *b, *c, *d]);
                        let value = u32::from_le_bytes([*e, *f, *g, *h]);
                        attributes.by_symbol.insert((attribute, symbol), value);
                    }
                    (None, _) => {}
                    (Some(kernel), value) => {
                        attributes.by_kernel.insert((attribute, kernel.clone()), value.to_vec());
                    }
                }
            }
        }
        Ok(attributes)
    }

    fn of_symbol(&self, attribute: u8, symbol: u32) -> Option<u32> {
        self.by_symbol.get(&(attribute, symbol)).copied()
    }

    fn words(&self, attribute: u8, kernel: &str) -> Option<Vec<u32>> {
        let bytes = self.by_kernel.get(&(attribute, kernel.to_owned()))?;
        Some(bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    fn short(&self, attribute: u8, kernel: &str) -> Option<u32> {
        match self.by_kernel.get(&(attribute, kernel.to_owned()))?.as_slice() {
            [low, high, ..] => Some(u16::from_le_bytes([*low, *high]).into()),
            _ => None,
        }
    }
}

/// The kernel with that name, symbol, section and place in it.
fn kernel(
    sections: &Sections<'_>,
    placed: &Placed,
    attributes: &Attributes,
    (name, symbol, section, value): (String, u32, SectionIndex, u64),
) -> Result<KernelInfo, CubinError> {
    let &(start, size) = placed
        .at
        .get(&section.0)
        .ok_or_else(|| malformed(format!("kernel {name} lies in no section with code")))?;
    if value >= size {
        return Err(malformed(format!("kernel {name} begins behind its section")));
    }
    if !value.is_multiple_of(INSTRUCTION) {
        return Err(malformed(format!("kernel {name} begins within an instruction")));
    }
    let lacks = |what| malformed(format!("kernel {name} does not say {what}"));
    let within = |what: &str, count: u32, most: u32| match count <= most {
        true => Ok(count),
        false => Err(malformed(format!("kernel {name} has {count} {what}, and there are {most} at most"))),
    };
    let registers = attributes
        .of_symbol(attribute::REGCOUNT, symbol)
        .ok_or_else(|| lacks("how many registers it has"))?;
    let registers = within("registers", registers, MAX_REGISTERS)?;
    let barriers = attributes.short(attribute::NUM_BARRIERS, &name).map_or(0, |barriers| barriers & 0xff);
    let barriers = within("barriers", barriers, MAX_BARRIERS)?;
    let bank =
        attributes.words(attribute::PARAM_CBANK, &name).ok_or_else(|| lacks("where its parameters are"))?;
    let [_, place, ..] = bank[..] else { return Err(lacks("where its parameters are")) };
    let (parameters_at, of_bank) = (place & 0xffff, place >> 16);
    let parameters = attributes.short(attribute::CBANK_PARAM_SIZE, &name).unwrap_or(of_bank);
    let section_of =
        |prefix: &str| sections.section_by_name(LittleEndian, format!("{prefix}.{name}").as_bytes());
    let bytes = section_of(".nv.constant0").map_or(0, |(_, section)| section.sh_size(LittleEndian));
    let bank = u32::try_from(bytes).ok().filter(|bank| bank <= &(64 << 10));
    let bank = bank.filter(|&bank| parameters_at + parameters <= bank);
    let bank = bank.ok_or_else(|| malformed(format!("constant bank 0 of {name} has {bytes} bytes")))?;
    let shared = section_of(".nv.shared").map_or(0, |(_, section)| section.sh_size(LittleEndian));
    let shared = u32::try_from(shared).map_err(|_| malformed(format!("{shared} bytes of shared memory")))?;
    let stack = [attribute::FRAME_SIZE, attribute::MIN_STACK_SIZE];
    let stack = stack.into_iter().filter_map(|attribute| attributes.of_symbol(attribute, symbol)).max();
    let mut constants = Vec::new();
    for number in 1..BANKS {
        let all = sections.section_by_name(LittleEndian, format!(".nv.constant{number}").as_bytes());
        if let Some((index, _)) = section_of(&format!(".nv.constant{number}")).or(all)
            && let Some(&(at, size)) = placed.at.get(&index.0)
        {
            let size = u32::try_from(size).ok().filter(|size| *size <= 64 << 10);
            let size = size.ok_or_else(|| malformed(format!("constant bank {number} is too large")))?;
            constants.push((number, at, size));
        }
    }
    let dimensions = |attribute| {
        let words = attributes.words(attribute, &name)?;
        Some([*words.first()?, *words.get(1)?, *words.get(2)?])
    };
    Ok(KernelInfo {
        code: start + value,
        registers,
        barriers,
        shared,
        stack: stack.unwrap_or(0),
        max_threads: dimensions(attribute::MAX_THREADS)
            .map(|most| most.into_iter().fold(1, u32::saturating_mul)),
        required_threads: dimensions(attribute::REQUIRED_THREADS),
        parameters_at,
        parameters,
        bank,
        constants,
        name,
    })
}

/// Relocations of what is loaded. `R_CUDA_*` as the compiler writes them: 2 is an address of 64 bits, 0x38 and 0x39 are
/// the halves of one as operands of instructions, whose 32 bits begin at bit 32.
fn relocations(
    sections: &Sections<'_>,
    symbols: &Symbols<'_>,
    placed: &Placed,
    bytes: &[u8],
) -> Result<Vec<Relocation>, CubinError> {
    let mut all = Vec::new();
    for section in sections.iter() {
        let Some(&(start, size)) = placed.at.get(&(section.sh_info(LittleEndian) as usize)) else { continue };
        let Some((entries, _)) = section.rela(LittleEndian, bytes)? else { continue };
        let section = String::from_utf8_lossy(sections.section_name(LittleEndian, section)?);
        for entry in entries {
            let symbol = symbols.symbol(SymbolIndex(entry.r_sym(LittleEndian, false) as usize))?;
            let kind = entry.r_type(LittleEndian, false).0;
            let unknown = || CubinError::Relocation {
                section: section.clone().into(),
                kind,
                symbol: String::from_utf8_lossy(symbols.symbol_name(LittleEndian, symbol).unwrap_or(b"?"))
                    .into(),
            };
            let (part, shift, width) = match kind {
                2 => (Part::Whole, 0, 8),
                0x38 => (Part::Low, 4, 4),
                0x39 => (Part::High, 4, 4),
                _ => return Err(unknown()),
            };
            let &(target, _) =
                placed.at.get(&usize::from(symbol.st_shndx(LittleEndian).0)).ok_or_else(unknown)?;
            let offset = entry.r_offset.get(LittleEndian);
            let end = offset.checked_add(shift + width).filter(|&end| end <= size);
            let addend = entry.r_addend.get(LittleEndian);
            let target = target.wrapping_add(symbol.st_value(LittleEndian)).wrapping_add(addend as u64);
            if end.is_none() || target > placed.image.len() as u64 {
                return Err(malformed(format!("{section} points out of the file")));
            }
            all.push(Relocation { at: start + offset + shift, part, target });
        }
    }
    Ok(all)
}
