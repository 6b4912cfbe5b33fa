//! Whether both ways make the same elements.

use std::sync::Arc;

use hcq::Patience;
use nvdec::Context;
use nvdec::tensor::TensorPool;
use nvdec_cuda::{PrimaryContext, StreamConverter};
use serde_json::{Value, json};

use super::Result;
use super::options::Options;
use super::work::{STANDING, frames, some, stream};

/// Converts the first pictures on a stream of CUDA, as fast as it goes, and on our own queue, one tensor after the other.
/// What was compared, and whether all of it was the same.
pub(crate) fn check(
    options: &Options,
    context: &Arc<Context>,
    cuda: &PrimaryContext,
) -> Result<(Value, bool)> {
    context.set_stall_timeout(STANDING);
    let (picture, in_cuda) = on_a_stream(options, context, cuda)?;
    let clip = options.read_clip()?;
    let pool = TensorPool::new(context, &options.spec, options.batch, 1)?;
    let mut tensors = frames(context, &clip, options.group)?.into_tensors(&pool);
    let (mut compared, mut different, mut first) = (0, 0, None);
    let mut rest = &in_cuda[..];
    let mut element = 1;
    while !rest.is_empty() {
        let Some(tensor) = tensors.next() else {
            tensors.frames().go_on_with(stream(&clip));
            continue;
        };
        let tensor = tensor?;
        element = tensor.dtype().bytes();
        let bytes = tensor.to_host()?;
        let (these, others) = rest.split_at(bytes.len().min(rest.len()));
        rest = others;
        for (seen, wanted) in these.chunks_exact(picture).zip(bytes.chunks_exact(picture)) {
            let wrong = differences(seen, wanted, element);
            if wrong > 0 {
                first.get_or_insert(compared);
            }
            compared += 1;
            different += wrong;
        }
    }
    let report = json!({
        "check": "elements of a stream of CUDA and of our queue",
        "pictures": compared,
        "elements": in_cuda.len() / element,
        "different": different,
        "first_picture": first,
    });
    Ok((report, different == 0 && compared == options.pictures))
}

/// Bytes of a picture, and all pictures.
fn on_a_stream(options: &Options, context: &Arc<Context>, cuda: &PrimaryContext) -> Result<(usize, Vec<u8>)> {
    let clip = options.read_clip()?;
    let mut frames = frames(context, &clip, options.group)?;
    let mut converter = StreamConverter::new(context, cuda, &options.spec)?;
    let stream = cuda.new_stream()?;
    let (mut memory, mut done) = (None, 0);
    while done < options.pictures {
        let pictures = some(&mut frames, &clip, options.group.min(options.pictures - done))?;
        let (memory, bytes) = match &mut memory {
            Some(memory) => memory,
            none => {
                let bytes = converter.shape_of(&pictures[0])?.bytes();
                none.insert((cuda.allocate(bytes * options.pictures as u64)?, bytes))
            }
        };
        let mut targets = Vec::with_capacity(pictures.len());
        for frame in &pictures {
            targets.push((frame, memory.target().part(done as u64 * *bytes, *bytes)?));
            done += 1;
        }
        converter.convert_all(&targets, &stream)?;
    }
    converter.settle(Patience::WithoutProgress(STANDING))?;
    stream.synchronize()?;
    let (memory, bytes) = memory.ok_or("no picture was converted")?;
    let mut all = vec![0; bytes as usize * options.pictures];
    memory.read(0, &mut all)?;
    Ok((bytes as usize, all))
}

/// Elements of which a byte differs.
fn differences(a: &[u8], b: &[u8], element: usize) -> usize {
    a.chunks_exact(element).zip(b.chunks_exact(element)).filter(|(a, b)| a != b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_counted() {
        assert_eq!(differences(&[1, 2, 3, 4], &[1, 2, 3, 4], 2), 0);
        assert_eq!(differences(&[1, 2, 3, 4], &[0, 0, 3, 5], 2), 2);
        assert_eq!(differences(&[1, 2, 3, 4], &[0, 0, 3, 4], 2), 1);
    }
}
