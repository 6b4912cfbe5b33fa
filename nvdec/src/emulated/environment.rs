//! Variables of the environment that the library behind the samples reads.
//!
//! `rusty_h265` has switches for its own development: one leaves the loop filters out, another panics. None of them
//! can be set in a call, and none may make pictures wrong without a word. So an engine does not start beside them.

use std::ffi::OsString;

/// What the names of the library's variables begin with.
const PREFIX: &[u8] = b"RH265_";
/// The variable that limits the instruction set, and the values which do no more than that. `scalar` panics.
const INSTRUCTION_SET: (&str, [&str; 3]) = ("RH265_ISA", ["baseline", "sse2", "sse41"]);

/// Looks through `variables`, names and values.
///
/// # Errors
///
/// What to say of the first variable that would change pictures.
pub(super) fn check(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Result<(), String> {
    let (instruction_set, harmless) = INSTRUCTION_SET;
    for (name, value) in variables {
        if !name.as_encoded_bytes().starts_with(PREFIX) {
            continue;
        }
        if name == instruction_set && harmless.iter().any(|known| value == *known) {
            continue;
        }
        return Err(format!(
            "the environment has {}={}, a switch of the library that makes the samples, which could come out wrong: \
             unset it ({instruction_set} alone may be there, with {})",
            name.display(),
            value.display(),
            harmless.join(", ")
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<(), String> {
        check([("PATH", "/bin"), (name, value), ("RH26", "")].map(|(n, v)| (n.into(), v.into())))
    }

    #[test]
    fn switches_are_refused_by_name() {
        for (name, value) in [
            ("RH265_ISA", "scalar"),
            ("RH265_ISA", ""),
            ("RH265_ISA", "SSE2"),
            ("RH265_NO_LF", ""),
            ("RH265_", "1"),
        ] {
            let refusal = set(name, value).unwrap_err();
            assert!(refusal.contains(&format!("the environment has {name}={value},")), "{refusal}");
        }
    }

    #[test]
    fn instruction_sets_are_not() {
        for value in ["baseline", "sse2", "sse41"] {
            assert_eq!(set("RH265_ISA", value), Ok(()));
        }
        assert_eq!(set("XRH265_NO_LF", "1"), Ok(()));
    }
}
