//! Inputs that several tests share.

use proptest::prelude::*;

/// Bytes in which zeros, ones and threes are common.
pub(crate) fn zeros_and_others() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![5 => Just(0u8), 2 => Just(1u8), 1 => Just(2u8), 2 => Just(3u8), 2 => any::<u8>()],
        0..300,
    )
}
