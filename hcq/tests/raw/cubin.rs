//! Writes cubins of one kernel: no more than a reader looks at.

/// What a cubin of [`Cubin::build`] says.
#[derive(Clone, Debug)]
pub struct Cubin {
    pub name: &'static str,
    pub sm: u32,
    pub abi: (u8, u8),
    pub code: Vec<u8>,
    pub registers: u32,
    pub barriers: u8,
    /// Offset and size of the parameters in constant bank 0.
    pub params: (u16, u16),
    pub shared: u64,
    pub stack: u32,
    /// Contents of constant bank 3.
    pub constants: Option<Vec<u8>>,
    /// Bytes of relocations of the code.
    pub relocations: usize,
}

const ALIGN: usize = 128;
const STRTAB: u32 = 3;
const SYMTAB: u32 = 2;
const PROGBITS: u32 = 1;
const NOBITS: u32 = 8;
const RELA: u32 = 4;
const INFO: u32 = 0x7000_0000;

struct Section {
    name: String,
    kind: u32,
    link: u32,
    info: u32,
    bytes: Vec<u8>,
    size: u64,
}

/// An attribute with a value of its own size.
fn sized(number: u8, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![4, number];
    bytes.extend((4 * words.len() as u16).to_le_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

impl Cubin {
    /// A kernel with two parameters, an address and a word, for an SM.
    pub fn new(name: &'static str, sm: u32) -> Cubin {
        let code = (0..384u32).map(|i| (i * 7 + sm + name.len() as u32) as u8).collect();
        let base = if sm >= 100 {
            0x380
        } else if sm >= 90 {
            0x210
        } else {
            0x160
        };
        Cubin {
            name,
            sm,
            abi: (0x41, 8),
            code,
            registers: 24,
            barriers: 1,
            params: (base, 12),
            shared: if sm >= 90 { 0x400 } else { 0 },
            stack: 0,
            constants: None,
            relocations: 0,
        }
    }

    /// The bytes of the file.
    pub fn build(&self) -> Vec<u8> {
        const SYMBOL: u32 = 1;
        let name = self.name;
        let mut sections: Vec<Section> = Vec::new();
        let mut add = |name: String, kind, link, info, bytes: Vec<u8>| {
            let size = bytes.len() as u64;
            sections.push(Section { name, kind, link, info, bytes, size });
        };
        add(String::new(), 0, 0, 0, Vec::new());
        add(".shstrtab".into(), STRTAB, 0, 0, Vec::new());
        let strings = [&[0], name.as_bytes(), &[0]].concat();
        add(".strtab".into(), STRTAB, 0, 0, strings);
        // Nothing, then the kernel: a global function in section 6.
        let mut symbols = vec![0; 24];
        symbols.extend(1u32.to_le_bytes());
        symbols.extend([0x12, 0x10, 6, 0]);
        symbols.extend([0; 8]);
        symbols.extend((self.code.len() as u64).to_le_bytes());
        add(".symtab".into(), SYMTAB, 2, 1, symbols);
        let pairs = [(0x2f, self.registers), (0x11, self.stack), (0x12, self.stack)];
        let info = pairs.iter().flat_map(|&(number, value)| sized(number, &[SYMBOL, value])).collect();
        add(".nv.info".into(), INFO, 3, 0, info);
        let (offset, size) = self.params;
        let mut info = vec![2, 0x4c, self.barriers, 0, 3, 0x19];
        info.extend(size.to_le_bytes());
        info.extend(sized(0x0a, &[0, u32::from(offset) | u32::from(size) << 16]));
        add(format!(".nv.info.{name}"), INFO, 3, 6, info);
        add(format!(".text.{name}"), PROGBITS, 3, SYMBOL, self.code.clone());
        add(format!(".rela.text.{name}"), RELA, 3, 6, vec![0; self.relocations]);
        let bank = vec![0; usize::from(offset) + usize::from(size)];
        add(format!(".nv.constant0.{name}"), PROGBITS, 0, 6, bank);
        if let Some(constants) = &self.constants {
            add(".nv.constant3".into(), PROGBITS, 0, 0, constants.clone());
        }
        add(format!(".nv.shared.{name}"), NOBITS, 0, 6, Vec::new());
        sections.last_mut().unwrap().size = self.shared;

        let mut names = vec![0];
        let offsets: Vec<u32> = sections
            .iter()
            .map(|section| {
                let at = names.len() as u32;
                names.extend(section.name.as_bytes());
                names.push(0);
                at
            })
            .collect();
        (sections[1].size, sections[1].bytes) = (names.len() as u64, names);

        let mut file = vec![0; 64];
        let mut table = Vec::new();
        for (section, name) in sections.iter().zip(offsets) {
            file.resize(file.len().next_multiple_of(ALIGN), 0);
            let entry = match section.kind {
                SYMTAB | RELA => 24u64,
                _ => 0,
            };
            table.extend([name, section.kind].iter().flat_map(|word| word.to_le_bytes()));
            let longs = [0, 0, file.len() as u64, section.size];
            table.extend(longs.iter().flat_map(|long| long.to_le_bytes()));
            table.extend([section.link, section.info].iter().flat_map(|word| word.to_le_bytes()));
            table.extend([ALIGN as u64, entry].iter().flat_map(|long| long.to_le_bytes()));
            file.extend(&section.bytes);
        }
        let at = file.len().next_multiple_of(8);
        file.resize(at, 0);
        file.extend(&table);

        let mut header = b"\x7fELF\x02\x01\x01".to_vec();
        header.extend([self.abi.0, self.abi.1]);
        header.resize(16, 0);
        // Executable, for CUDA.
        header.extend([2, 0, 190, 0, 1, 0, 0, 0]);
        header.extend([0; 16]);
        header.extend((at as u64).to_le_bytes());
        header.extend((0x0600_0004 | self.sm << 8).to_le_bytes());
        for half in [64u16, 0, 0, 64, sections.len() as u16, 1] {
            header.extend(half.to_le_bytes());
        }
        file[..64].copy_from_slice(&header);
        file
    }
}
