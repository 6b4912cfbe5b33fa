//! Reads the layouts of C structures with libclang.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_uint};
use std::path::Path;
use std::ptr;

use clang_sys::*;

use crate::error::Error;

/// One field of a structure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldLayout {
    /// Name as declared.
    pub(crate) name: String,
    /// Bytes from the start of the structure.
    pub(crate) offset: usize,
    /// Bytes.
    pub(crate) size: usize,
    /// Alignment in bytes.
    pub(crate) align: usize,
    /// First bit, from the start of the structure.
    pub(crate) bit: usize,
    /// Bits.
    pub(crate) width: usize,
    /// The fields of this field when it is itself a structure or union.
    pub(crate) inner: Vec<FieldLayout>,
}

/// One structure.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Bytes.
    pub(crate) size: usize,
    /// In order of declaration.
    pub(crate) fields: Vec<FieldLayout>,
}

impl Record {
    /// The field reached by a dotted path such as `data.rmObject.hDevice`, its offset from the record's start.
    pub(crate) fn field(&self, path: &str) -> Option<FieldLayout> {
        let mut fields = &self.fields;
        let mut base = 0;
        let mut parts = path.split('.').peekable();
        while let Some(part) = parts.next() {
            let found = fields.iter().find(|f| f.name == part)?;
            base += found.offset;
            if parts.peek().is_none() {
                return Some(FieldLayout { offset: base, ..found.clone() });
            }
            fields = &found.inner;
        }
        None
    }
}

/// The field called `name` at any depth of `fields`, its bits counted from the start of the outermost structure.
pub(crate) fn find_deep(fields: &[FieldLayout], name: &str) -> Option<FieldLayout> {
    fields.iter().find_map(|f| {
        if f.name == name {
            return Some(f.clone());
        }
        let found = find_deep(&f.inner, name)?;
        Some(FieldLayout { bit: f.bit + found.bit, offset: f.offset + found.offset, ..found })
    })
}

/// Every structure that a translation unit declares, by tag and by typedef name.
pub(crate) type Records = BTreeMap<String, Record>;

fn text(string: CXString) -> String {
    // SAFETY: `string` was just returned by libclang and is disposed once, after its bytes were copied.
    unsafe {
        let data = clang_getCString(string);
        let owned =
            if data.is_null() { String::new() } else { CStr::from_ptr(data).to_string_lossy().into_owned() };
        clang_disposeString(string);
        owned
    }
}

fn fields_of(record: CXType) -> Vec<FieldLayout> {
    extern "C" fn visit(cursor: CXCursor, data: CXClientData) -> CXVisitorResult {
        // SAFETY: `data` is the vector handed to clang_Type_visitFields below, alive for the whole visit; the
        // cursor is valid during the callback.
        let (list, name, ty, bit, width) = unsafe {
            (
                &mut *data.cast::<Vec<FieldLayout>>(),
                text(clang_getCursorSpelling(cursor)),
                clang_getCanonicalType(clang_getCursorType(cursor)),
                clang_Cursor_getOffsetOfField(cursor),
                clang_getFieldDeclBitWidth(cursor),
            )
        };
        // SAFETY: `ty` is a valid type of the translation unit being visited.
        let (size, align) = unsafe { (clang_Type_getSizeOf(ty), clang_Type_getAlignOf(ty)) };
        if let (Ok(bit), Ok(size), Ok(align)) =
            (usize::try_from(bit), usize::try_from(size), usize::try_from(align))
        {
            let inner = if ty.kind == CXType_Record { fields_of(ty) } else { Vec::new() };
            // The width is negative for what is not a bit field.
            let width = usize::try_from(width).unwrap_or(size * 8);
            list.push(FieldLayout { name, offset: bit / 8, size, align, bit, width, inner });
        }
        CXVisit_Continue
    }
    let mut list: Vec<FieldLayout> = Vec::new();
    // SAFETY: the callback casts the pointer back to the same vector, which outlives the call.
    unsafe { clang_Type_visitFields(record, visit, (&raw mut list).cast()) };
    list
}

extern "C" fn visit_top(cursor: CXCursor, _: CXCursor, data: CXClientData) -> CXChildVisitResult {
    // SAFETY: `data` is the map handed to clang_visitChildren by `parse`, alive for the whole visit.
    let records = unsafe { &mut *data.cast::<Records>() };
    // SAFETY: the cursor is valid during the callback.
    let (name, ty) = unsafe {
        let kind = clang_getCursorKind(cursor);
        let ty = if kind == CXCursor_TypedefDecl {
            clang_getCanonicalType(clang_getTypedefDeclUnderlyingType(cursor))
        } else if kind == CXCursor_StructDecl && clang_isCursorDefinition(cursor) != 0 {
            clang_getCursorType(cursor)
        } else {
            return CXChildVisit_Continue;
        };
        (text(clang_getCursorSpelling(cursor)), ty)
    };
    if ty.kind == CXType_Record && !name.is_empty() {
        // SAFETY: `ty` is a valid record type of this translation unit.
        if let Ok(size) = usize::try_from(unsafe { clang_Type_getSizeOf(ty) }) {
            records.insert(name, Record { size, fields: fields_of(ty) });
        }
    }
    CXChildVisit_Continue
}

/// Loads libclang into this thread.
pub(crate) fn load() -> Result<(), Error> {
    if clang_sys::is_loaded() { Ok(()) } else { clang_sys::load().map_err(Error::Libclang) }
}

/// Parses the C source `text` for x86-64 Linux and returns its structures. `files` are further files that exist
/// only in memory.
pub(crate) fn parse(
    what: &str,
    source: &str,
    include: &[&Path],
    files: &[(&str, &str)],
) -> Result<Records, Error> {
    load()?;
    let failed = |message: &str| Error::Parse { what: what.to_owned(), message: message.to_owned() };
    let c_string = |s: &str| CString::new(s).map_err(|_| failed("a name holds a NUL byte"));
    let mut args = vec![c_string("-xc")?, c_string("--target=x86_64-linux-gnu")?, c_string("-nostdinc")?];
    args.push(c_string("-DNV_LINUX")?);
    for dir in include {
        args.push(c_string(&format!("-I{}", dir.display()))?);
    }
    let argv: Vec<*const c_char> = args.iter().map(|a| a.as_ptr()).collect();
    let main = c_string("abigen.c")?;
    let mut owned = vec![(main.clone(), c_string(source)?)];
    for (name, text) in files {
        owned.push((c_string(name)?, c_string(text)?));
    }
    let mut unsaved: Vec<CXUnsavedFile> = owned
        .iter()
        .map(|(name, text)| CXUnsavedFile {
            Filename: name.as_ptr(),
            Contents: text.as_ptr(),
            Length: text.as_bytes().len() as _,
        })
        .collect();
    let mut records = Records::new();
    // SAFETY: every pointer handed over comes from a CString or vector that lives to the end of this function,
    // the counts are those vectors' lengths, and index and unit are disposed exactly once.
    unsafe {
        let index = clang_createIndex(0, 0);
        let unit = clang_parseTranslationUnit(
            index,
            main.as_ptr(),
            argv.as_ptr(),
            argv.len() as _,
            unsaved.as_mut_ptr(),
            unsaved.len() as c_uint,
            CXTranslationUnit_SkipFunctionBodies,
        );
        if unit.is_null() {
            clang_disposeIndex(index);
            return Err(failed("no translation unit"));
        }
        let mut first_error = None;
        for i in 0..clang_getNumDiagnostics(unit) {
            let diagnostic = clang_getDiagnostic(unit, i);
            if clang_getDiagnosticSeverity(diagnostic) >= CXDiagnostic_Error && first_error.is_none() {
                first_error =
                    Some(text(clang_formatDiagnostic(diagnostic, clang_defaultDiagnosticDisplayOptions())));
            }
            clang_disposeDiagnostic(diagnostic);
        }
        if first_error.is_none() {
            clang_visitChildren(
                clang_getTranslationUnitCursor(unit),
                visit_top,
                ptr::from_mut(&mut records).cast(),
            );
        }
        clang_disposeTranslationUnit(unit);
        clang_disposeIndex(index);
        match first_error {
            Some(message) => Err(failed(&message)),
            None => Ok(records),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, bit: usize, width: usize, inner: Vec<FieldLayout>) -> FieldLayout {
        FieldLayout {
            name: name.into(),
            offset: bit / 8,
            size: width.div_ceil(8),
            align: 1,
            bit,
            width,
            inner,
        }
    }

    fn nested() -> Record {
        let leaf = field("hDevice", 32, 32, Vec::new());
        let object = field("rmObject", 0, 64, vec![field("flag", 0, 1, Vec::new()), leaf]);
        Record {
            size: 16,
            fields: vec![field("type", 0, 32, Vec::new()), field("data", 64, 64, vec![object])],
        }
    }

    #[test]
    fn paths_add_offsets_up() {
        let found = nested().field("data.rmObject.hDevice").unwrap();
        assert_eq!((found.offset, found.size), (12, 4));
        assert_eq!(nested().field("data.hDevice"), None);
        assert_eq!(nested().field("type").unwrap().offset, 0);
    }

    #[test]
    fn names_are_found_at_any_depth() {
        let found = find_deep(&nested().fields, "hDevice").unwrap();
        assert_eq!((found.bit, found.width), (96, 32));
        assert_eq!(find_deep(&nested().fields, "nothing"), None);
    }
}
