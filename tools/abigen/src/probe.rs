//! Comparisons that a compiler makes: C sources with a structure for each, whose layout carries the outcome.

use std::fmt::Write;

/// What NVIDIA's headers take from the C library.
pub(crate) const LIBC: &[(&str, &str)] = &[
    (
        "stddef.h",
        "typedef __SIZE_TYPE__ size_t;\n#define NULL ((void *)0)\n#define offsetof __builtin_offsetof\n",
    ),
    (
        "stdint.h",
        "typedef __UINT8_TYPE__ uint8_t;\ntypedef __UINT16_TYPE__ uint16_t;\ntypedef __UINT32_TYPE__ uint32_t;\n\
         typedef __UINT64_TYPE__ uint64_t;\ntypedef __INT8_TYPE__ int8_t;\ntypedef __INT16_TYPE__ int16_t;\n\
         typedef __INT32_TYPE__ int32_t;\ntypedef __INT64_TYPE__ int64_t;\ntypedef __UINTPTR_TYPE__ uintptr_t;\n",
    ),
    ("stdbool.h", "#define bool _Bool\n#define true 1\n#define false 0\n"),
];

/// Start of the names of the structures that carry the outcome of a comparison of numbers, one byte for equal.
pub(crate) const PROBE: &str = "abigen_";

/// Adds a comparison that is made where the headers define macro `name`.
pub(crate) fn probe(source: &mut String, name: &str, condition: &str) {
    probe_as(source, name, name, condition);
}

/// The same for one of several comparisons of a macro.
pub(crate) fn probe_as(source: &mut String, name: &str, label: &str, condition: &str) {
    let _ = writeln!(
        source,
        "#ifdef {name}\nstruct {PROBE}{label} {{ char equal[({condition}) ? 1 : 2]; }};\n#endif"
    );
}
