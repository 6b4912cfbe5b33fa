//! Printing and comparing structures field by field.

use std::fmt;

use super::Field;

/// One element of one field, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The field.
    pub field: Field,
    /// Which element of it.
    pub index: usize,
    /// What the structure holds.
    pub value: i64,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field.name)?;
        if self.field.count > 1 {
            write!(f, "[{}]", self.index)?;
        }
        if self.value.unsigned_abs() < 4096 {
            write!(f, " = {}", self.value)?;
        } else {
            write!(f, " = {:#x}", self.value)?;
        }
        match self.field.value_name(self.value) {
            Some(name) => write!(f, " ({name})"),
            None => Ok(()),
        }
    }
}

/// The entries of a structure; iterate over it, or print it with one line each.
#[derive(Clone, Debug)]
pub struct Dump<'a> {
    structure: &'a [u8],
    fields: std::slice::Iter<'static, Field>,
    current: Option<(Field, usize)>,
    nonzero: bool,
}

/// Walks `fields` over the bytes of a structure; fields beyond its end are left out.
pub fn dump<'a>(structure: &'a [u8], fields: &'static [Field]) -> Dump<'a> {
    Dump { structure, fields: fields.iter(), current: None, nonzero: false }
}

impl Dump<'_> {
    /// Leaves out what is zero.
    #[must_use]
    pub fn nonzero(self) -> Self {
        Self { nonzero: true, ..self }
    }
}

impl Iterator for Dump<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        loop {
            let (field, index) = match self.current.take() {
                Some((field, index)) if index < usize::from(field.count) => (field, index),
                _ => (*self.fields.next()?, 0),
            };
            self.current = Some((field, index + 1));
            match field.read(self.structure, index) {
                Ok(0) if self.nonzero => {}
                Ok(value) => return Some(Entry { field, index, value }),
                Err(_) => self.current = None,
            }
        }
    }
}

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.clone().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}
