//! What is measured, from a command line.

use std::path::PathBuf;
use std::sync::Arc;

use nvdec::{DeviceChoice, TensorSpec};

use super::Result;

/// Where conversions run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On our compute queue.
    Queue,
    /// On a stream of CUDA.
    Cuda,
    /// There are none: pictures are decoded and let go of.
    Nowhere,
}

impl Place {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Queue => "queue",
            Place::Cuda => "cuda",
            Place::Nowhere => "nothing",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) clip: PathBuf,
    pub(crate) device: DeviceChoice,
    pub(crate) spec: TensorSpec,
    pub(crate) place: Place,
    /// Pictures of a tensor.
    pub(crate) batch: usize,
    /// Places for tensors.
    pub(crate) tensors: usize,
    /// Pictures of a call, on a stream of CUDA.
    pub(crate) group: usize,
    pub(crate) seconds: f64,
    /// How long it runs before it is measured.
    pub(crate) warmup: f64,
    /// Both ways are compared instead.
    pub(crate) check: bool,
    /// Pictures that are compared.
    pub(crate) pictures: usize,
}

impl Options {
    pub(crate) const USAGE: &str = "--clip FILE [--in queue|cuda|nothing] [--seconds 8] [--warmup 1] [--check] [--pictures 200] \
        [--device nv:0] [--spec size=224x224,dtype=f16] [--batch 8] [--tensors 4] [--group 4]";

    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Options> {
        let mut options = Options {
            clip: PathBuf::new(),
            device: DeviceChoice::Nv(0),
            spec: "size=224x224,dtype=f16".parse()?,
            place: Place::Cuda,
            batch: 8,
            tensors: 4,
            group: 4,
            seconds: 8.0,
            warmup: 1.0,
            check: false,
            pictures: 200,
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{name}: no value"));
            match name.as_str() {
                "--check" => options.check = true,
                "--clip" => options.clip = value()?.into(),
                "--device" => options.device = value()?.parse()?,
                "--spec" => options.spec = value()?.parse()?,
                "--in" => {
                    let given = value()?;
                    let places = [Place::Queue, Place::Cuda, Place::Nowhere];
                    let found = places.into_iter().find(|place| place.name() == given);
                    options.place = found
                        .ok_or_else(|| format!("--in: queue, cuda and nothing are possible, not {given}"))?;
                }
                "--seconds" => options.seconds = seconds(&name, &value()?)?,
                "--warmup" => options.warmup = seconds(&name, &value()?)?,
                "--batch" => options.batch = number(&name, &value()?, 256)?,
                "--tensors" => options.tensors = number(&name, &value()?, 256)?,
                "--group" => options.group = number(&name, &value()?, 32)?,
                "--pictures" => options.pictures = number(&name, &value()?, 100_000)?,
                _ => return Err(format!("{name}: no such option").into()),
            }
        }
        if options.clip.as_os_str().is_empty() {
            return Err("--clip: no file".into());
        }
        Ok(options)
    }

    pub(crate) fn read_clip(&self) -> Result<Arc<[u8]>> {
        let bytes = std::fs::read(&self.clip).map_err(|error| format!("{}: {error}", self.clip.display()))?;
        Ok(bytes.into())
    }
}

fn number(name: &str, text: &str, most: usize) -> Result<usize> {
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    Ok(number.ok_or_else(|| format!("{name}: it is a number from 1 to {most}"))?)
}

fn seconds(name: &str, text: &str) -> Result<f64> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    Ok(seconds.ok_or_else(|| format!("{name}: it is a number of seconds, up to 3600"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_checked() {
        let options = parse("--clip a --in queue --batch 3 --seconds 0.5 --check --device emulated").unwrap();
        assert_eq!((options.place, options.batch, options.seconds), (Place::Queue, 3, 0.5));
        assert!(options.check && options.device == DeviceChoice::Emulated);
        for text in
            ["", "--clip", "--clip a --batch 0", "--clip a --in gpu", "--clip a --seconds -1", "--clip a x"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
