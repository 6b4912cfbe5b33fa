//! Variables of the environment: one that says how much memory the emulated GPU has, and those that the library behind
//! the samples reads.
//!
//! `rusty_h265` has switches for its own development: one leaves the loop filters out, another panics. None of them
//! can be set in a call, and none may make pictures wrong without a word. So an engine does not start beside them.

use std::ffi::OsString;

/// What the names of the library's variables begin with.
const PREFIX: &[u8] = b"RH265_";
/// The variable that limits the instruction set, and the values which do no more than that. `scalar` panics.
const INSTRUCTION_SET: (&str, [&str; 3]) = ("RH265_ISA", ["baseline", "sse2", "sse41"]);

/// The variable that says how much memory the emulated GPU has, and how much of the host's its driver hands out at most.
pub(super) const MEMORY: &str = "NVDEC_EMULATED_MEMORY";
/// Of what `MEMORY` may hold, in MiB: no object of a decoder fits into less, and addresses of a GPU end at the other.
const POSSIBLE: std::ops::RangeInclusive<u64> = 64..=1 << 26;

/// How many MiB the value of [`MEMORY`] says; nothing if it is unset or empty.
///
/// # Errors
///
/// What to say of a value that is no such number.
pub(super) fn memory(value: Option<OsString>) -> Result<Option<u64>, String> {
    let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(None) };
    let mib = value.to_str().and_then(|text| text.parse().ok()).filter(|mib| POSSIBLE.contains(mib));
    let (least, most) = (POSSIBLE.start(), POSSIBLE.end());
    mib.map(Some).ok_or_else(|| {
        format!(
            "the environment has {MEMORY}={}: it has to be MiB, a number from {least} to {most}",
            value.display()
        )
    })
}

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
    fn memory_is_a_number_of_mib() {
        let of = |text: &str| memory(Some(text.into()));
        assert_eq!(memory(None), Ok(None));
        assert_eq!(of(""), Ok(None));
        assert_eq!(of("1024"), Ok(Some(1024)));
        for value in ["63", "67108865", "-1", "1G", " 64", "99999999999999999999"] {
            let refusal = of(value).unwrap_err();
            assert!(
                refusal.contains(&format!("NVDEC_EMULATED_MEMORY={value}: it has to be MiB")),
                "{refusal}"
            );
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
