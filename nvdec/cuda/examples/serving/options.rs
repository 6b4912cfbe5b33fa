//! What is served, from a command line.

use std::path::PathBuf;
use std::sync::Arc;

use nvdec::{Context, DeviceChoice, TensorSpec};

use super::error::{Error, Result};

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) clip: PathBuf,
    pub(crate) device: DeviceChoice,
    pub(crate) spec: TensorSpec,
    /// The text of it.
    pub(crate) spec_text: String,
    /// Pictures of a tensor.
    pub(crate) batch: usize,
    /// Places for tensors.
    pub(crate) tensors: usize,
    /// Pictures in all.
    pub(crate) pictures: u64,
    /// The consumer has the memory.
    pub(crate) into: bool,
    /// Memory is written again without a wait for those who read it: then pictures come out wrong, or the comparison tells
    /// nothing.
    pub(crate) ignore_done: bool,
    pub(crate) socket: Option<PathBuf>,
}

impl Options {
    pub(crate) const USAGE: &str = "--clip FILE [--socket PATH] [--device nv:0] [--spec size=224x224,dtype=f16] \
        [--batch 8] [--tensors 4] [--pictures 2000] [--into] [--ignore-done]";

    pub(crate) fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Options> {
        let spec_text = "size=224x224,dtype=f16".to_owned();
        let mut options = Options {
            clip: PathBuf::new(),
            device: DeviceChoice::Nv(0),
            spec: spec_text.parse()?,
            spec_text,
            batch: 8,
            tensors: 4,
            pictures: 2000,
            into: false,
            ignore_done: false,
            socket: None,
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let refused = |why: &str| Error::Options(format!("{name}: {why}"));
            let mut value = || arguments.next().ok_or_else(|| refused("no value"));
            match name.as_str() {
                "--into" => options.into = true,
                "--ignore-done" => options.ignore_done = true,
                "--clip" => options.clip = value()?.into(),
                "--socket" => options.socket = Some(value()?.into()),
                "--device" => options.device = value()?.parse().map_err(|e| refused(&format!("{e}")))?,
                "--spec" => {
                    options.spec_text = value()?;
                    options.spec = options.spec_text.parse()?;
                }
                "--batch" => {
                    options.batch = number(&value()?, 1..=256).map_err(|why| refused(&why))? as usize
                }
                "--tensors" => {
                    options.tensors = number(&value()?, 1..=256).map_err(|why| refused(&why))? as usize;
                }
                "--pictures" => {
                    options.pictures = number(&value()?, 1..=1 << 30).map_err(|why| refused(&why))?;
                }
                _ => return Err(refused("no such option")),
            }
        }
        if options.clip.as_os_str().is_empty() {
            return Err(Error::Options("--clip: no file".into()));
        }
        Ok(options)
    }

    /// Tensors that hold all pictures.
    pub(crate) fn total(&self) -> u32 {
        self.pictures.div_ceil(self.batch as u64) as u32
    }

    pub(crate) fn open(&self) -> Result<Arc<Context>> {
        Ok(Context::open(self.device)?)
    }

    pub(crate) fn read_clip(&self) -> Result<Arc<[u8]>> {
        let bytes = std::fs::read(&self.clip).map_err(Error::io(self.clip.display().to_string()))?;
        Ok(bytes.into())
    }
}

fn number(text: &str, allowed: std::ops::RangeInclusive<u64>) -> std::result::Result<u64, String> {
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| format!("it is a number from {} to {}", allowed.start(), allowed.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Options> {
        Options::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_checked() {
        let options = parse("--clip a --batch 3 --pictures 7 --into --device emulated").unwrap();
        assert_eq!((options.total(), options.into, options.device), (3, true, DeviceChoice::Emulated));
        let refused = [
            "",
            "--clip",
            "--clip a --batch 0",
            "--clip a --x",
            "--clip a --spec size=0",
            "--clip a --device b",
        ];
        for text in refused {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
