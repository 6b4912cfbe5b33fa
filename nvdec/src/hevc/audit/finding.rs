//! [`Finding`]: why a descriptor is not given to an engine.

/// Why a descriptor is not given to an engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}: {reason}")]
pub struct Finding {
    /// The field or table, in NVIDIA's spelling.
    pub field: &'static str,
    /// What it says.
    pub value: i64,
    /// What would be possible.
    pub reason: String,
    /// The picture is sound, but this class cannot decode it.
    pub beyond_class: bool,
}

impl Finding {
    /// A finding about a field.
    pub(crate) fn of(field: &'static str, value: impl Into<i64>, reason: impl Into<String>) -> Finding {
        Finding { field, value: value.into(), reason: reason.into(), beyond_class: false }
    }

    pub(super) fn beyond(field: &'static str, value: impl Into<i64>, reason: impl Into<String>) -> Finding {
        Finding { beyond_class: true, ..Finding::of(field, value, reason) }
    }
}
