use proptest::prelude::*;

use super::*;

bits! {
    /// A table for these tests.
    mod sample (16 bytes) {
        /// Three bits.
        KIND = 0x0 [2:0] { KIND_ONE = 1, KIND_TWO = 2 };
        /// A byte with a sign.
        DELTA: signed = 0x0 [15:8];
        /// Crosses a word.
        WIDE = [40:24];
        /// An array of 12-bit values that cross bytes.
        LIST[4; 12]: signed = 0x8 [11:0];
        /// The same bits as KIND.
        RAW = 0x0 [7:0] | KIND;
    }
}

/// Every element of every field as the bits it covers.
fn elements(table: &Table) -> impl Iterator<Item = (Field, usize, std::ops::Range<usize>)> {
    table.fields.iter().flat_map(|&f| {
        (0..usize::from(f.count)).map(move |i| (f, i, f.bit(i)..f.bit(i) + f.width() as usize))
    })
}

#[test]
fn no_fields_overlap_but_declared_unions() {
    for table in TABLES.iter().copied().chain([&sample::TABLE]) {
        for (a, i, bits) in elements(table) {
            assert!(bits.end <= table.size * 8, "{}::{} ends outside", table.name, a.name);
            for (b, j, other) in elements(table) {
                let same = a.name == b.name && i == j;
                let apart = bits.end <= other.start || other.end <= bits.start;
                let declared = a.overlaps.contains(&b.name) || b.overlaps.contains(&a.name);
                assert!(
                    same || apart || declared,
                    "{}::{}[{i}] overlaps {}[{j}]",
                    table.name,
                    a.name,
                    b.name
                );
            }
        }
    }
}

#[test]
fn tables_are_sound() {
    for table in TABLES {
        for f in table.fields {
            assert!(!f.doc.is_empty(), "{}::{} has no documentation", table.name, f.name);
            assert!(f.count == 1 || u32::from(f.stride) >= f.width(), "{}::{}", table.name, f.name);
            for (name, value) in f.values {
                assert!(i64::from(*value) <= f.max(), "{}::{}_{name}", table.name, f.name);
            }
            for other in f.overlaps {
                assert!(table.fields.iter().any(|g| g.name == *other), "{}::{other}", table.name);
            }
        }
        let mut names: Vec<_> = table.fields.iter().map(|f| f.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), table.fields.len(), "{}", table.name);
    }
}

#[test]
fn words() {
    use sample::*;
    assert_eq!(KIND_ONE, 1);
    const WORD: u32 = KIND.of(KIND_TWO) | DELTA.of(0x7f);
    assert_eq!(WORD, 0x7f02);
    assert_eq!(KIND.get(WORD), 2);
    assert_eq!(DELTA.set(WORD, 1), 0x102);
    assert_eq!((DELTA.min(), DELTA.max()), (-128, 127));
    assert_eq!(KIND.value_name(2), Some("TWO"));
    assert_eq!(WIDE.width(), 17);
}

#[test]
fn errors_name_the_field() {
    use sample::*;
    let mut bytes = [0; SIZE];
    assert_eq!(KIND.write(&mut bytes, 0, 8).unwrap_err().to_string(), "KIND[0]: 8 is outside 0..=7");
    assert_eq!(LIST.write(&mut bytes, 4, 0).unwrap_err().to_string(), "LIST[4]: the field has 4 elements");
    // Indices may come from a damaged file: the place of such an element is not even a number.
    let index = FieldError::Index { name: "LIST", index: usize::MAX, count: 4 };
    assert_eq!(LIST.read(&bytes, usize::MAX), Err(index));
    assert_eq!(LIST.write(&mut bytes, usize::MAX, 0), Err(index));
    assert_eq!(
        LIST.read(&bytes[..8], 0).unwrap_err().to_string(),
        "LIST[0]: bits 64..=75 lie outside a structure of 8 bytes"
    );
    assert_eq!(bytes, [0; SIZE]);
}

#[test]
fn dumps() {
    use sample::*;
    let mut bytes = [0; SIZE];
    KIND.write(&mut bytes, 0, 1).unwrap();
    DELTA.write(&mut bytes, 0, -3).unwrap();
    LIST.write(&mut bytes, 2, -2048).unwrap();
    WIDE.write(&mut bytes, 0, 0x1_2345).unwrap();
    let text = dump(&bytes, FIELDS).nonzero().to_string();
    assert_eq!(text, "KIND = 1 (ONE)\nDELTA = -3\nWIDE = 0x12345\nLIST[2] = -2048\nRAW = 1\n");
    // A shorter structure prints the fields it holds.
    assert_eq!(dump(&bytes[..4], FIELDS).count(), 3);
    assert_eq!(dump(&bytes, FIELDS).count(), 8);
}

proptest! {
    #[test]
    fn write_then_read_and_nothing_else_changes(
        fill in any::<[u8; 512]>(),
        table in 0..TABLES.len(),
        field in any::<prop::sample::Index>(),
        element in any::<prop::sample::Index>(),
        value: u32,
    ) {
        let table = TABLES[table];
        let f = table.fields[field.index(table.fields.len())];
        let index = element.index(f.count.into());
        let value = f.min() + i64::from(value) % (f.max() - f.min() + 1);
        let before = &fill[..table.size];
        let mut bytes = before.to_vec();
        f.write(&mut bytes, index, value).unwrap();
        prop_assert_eq!(f.read(&bytes, index), Ok(value));
        for (g, j, _) in elements(table) {
            let own = g.name == f.name && j == index;
            if !own && !g.overlaps.contains(&f.name) && !f.overlaps.contains(&g.name) {
                prop_assert_eq!(g.read(&bytes, j), g.read(before, j));
            }
        }
    }

    #[test]
    fn any_value_is_stored_or_refused(value: i64, index in prop_oneof![0..6_usize, any::<usize>()], len in 0..17_usize) {
        let mut bytes = vec![0; len];
        for f in sample::FIELDS {
            match f.write(&mut bytes, index, value) {
                Ok(()) => prop_assert_eq!(f.read(&bytes, index), Ok(value)),
                Err(_) => prop_assert!(
                    index >= usize::from(f.count) || value < f.min() || value > f.max() || len < 16
                ),
            }
        }
    }

    #[test]
    fn words_and_bytes_agree(word: u32) {
        for table in TABLES.iter().filter(|t| t.size == 4) {
            for f in table.fields {
                prop_assert_eq!(f.read(&word.to_le_bytes(), 0), Ok(i64::from(f.get(word))));
                prop_assert_eq!(f.set(word, f.get(word)), word);
            }
        }
    }
}

/// An index may come from anywhere; where its bit would be need not be a number.
#[test]
fn any_index_is_refused_or_read() {
    for field in crate::video::hevc_pic::FIELDS {
        for index in [usize::from(field.count), usize::MAX / 8, usize::MAX] {
            assert!(
                matches!(field.read(&[0; 512], index), Err(FieldError::Index { .. })),
                "{field:?}[{index}]"
            );
        }
    }
}
