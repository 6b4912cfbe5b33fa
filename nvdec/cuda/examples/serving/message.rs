//! What producer and consumer tell each other.

use serde::{Deserialize, Serialize};

/// Changes with what the messages mean.
pub(crate) const VERSION: u32 = 1;

/// The first message of the producer. With it come the descriptors of the words, and of the tensors if it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Description {
    pub(crate) version: u32,
    /// Process of the producer.
    pub(crate) pid: u32,
    pub(crate) spec: String,
    /// `u8`, `f16`, `bf16` or `f32`.
    pub(crate) dtype: String,
    /// Of one tensor; strides are in elements.
    pub(crate) shape: [usize; 4],
    pub(crate) strides: [usize; 4],
    /// From one picture to the next, and from one tensor to the next.
    pub(crate) picture_bytes: u64,
    pub(crate) tensor_bytes: u64,
    /// Places for tensors.
    pub(crate) tensors: usize,
    /// Bytes of the allocation of all tensors, if the producer has it: else the consumer gives one.
    pub(crate) memory: Option<u64>,
    pub(crate) words: Words,
    /// Tensors that will come; 0 if the consumer says how many.
    pub(crate) total: u32,
    /// What [`sum`](super::sums::sum) says of each picture of the clip. Behind its last picture comes the first one.
    pub(crate) expected: Vec<i64>,
}

/// The allocation of the words.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Words {
    pub(crate) size: u64,
    /// Where the words lie: `ready` is the number of the last tensor that is there, `done` of the last one that was read.
    pub(crate) ready: u64,
    pub(crate) done: u64,
}

/// Later messages of the producer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub(crate) enum Message {
    /// What writes the tensor and says so was submitted: now somebody may be told to wait for it.
    Submitted(Submitted),
    /// No further tensor comes.
    End,
}

/// A tensor, from 1 on, and where it begins in the memory of all tensors.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Submitted {
    pub(crate) number: u32,
    pub(crate) offset: u64,
}

/// Messages of the consumer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "lowercase")]
pub(crate) enum Reply {
    /// The producer may begin. With memory of the consumer's comes its descriptor.
    Go { memory: Option<Given> },
    /// A stream was told to write the number to `done`: now somebody may be told to wait for it.
    Told { number: u32 },
    /// All tensors were read.
    Bye,
}

/// Memory of the consumer's: bytes of the allocation, and where in it the tensors lie.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Given {
    pub(crate) size: u64,
    pub(crate) offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other side is written in another language.
    #[test]
    fn messages_are_what_the_consumer_reads() {
        let text = |message: &Message| serde_json::to_string(message).unwrap();
        let submitted = Message::Submitted(Submitted { number: 7, offset: 4096 });
        assert_eq!(text(&submitted), r#"{"is":"submitted","number":7,"offset":4096}"#);
        assert_eq!(text(&Message::End), r#"{"is":"end"}"#);
        let replies = [
            (r#"{"is": "go", "memory": null}"#, Reply::Go { memory: None }),
            (
                r#"{"is": "go", "memory": {"size": 20971520, "offset": 512}}"#,
                Reply::Go { memory: Some(Given { size: 20 << 20, offset: 512 }) },
            ),
            (r#"{"is": "told", "number": 4294967295}"#, Reply::Told { number: u32::MAX }),
            (r#"{"is": "bye"}"#, Reply::Bye),
        ];
        for (text, reply) in replies {
            assert_eq!(serde_json::from_str::<Reply>(text).unwrap(), reply);
        }
        for text in
            ["{}", r#"{"is": "told"}"#, r#"{"is": "told", "number": -1}"#, r#"{"is": "go", "memory": 1}"#]
        {
            assert!(serde_json::from_str::<Reply>(text).is_err(), "{text}");
        }
    }
}
