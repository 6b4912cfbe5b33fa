//! One picture of a stream to look at, whatever else becomes of the stream.

use std::path::{Path, PathBuf};

use super::file::{OutputFile, Sources};
use super::png;
use crate::decode::Picture;
use crate::exit::Failure;

/// Most pictures kept until the end is known.
const MAX_KEPT: usize = 4;

/// Writes a picture from about the middle as PNG: first pictures are black too often, and later ones were predicted
/// from others, so that they show more of the decoder. How many there will be is known at the end only, so a few are
/// kept, at equal distances.
pub struct Preview {
    path: PathBuf,
    file: OutputFile,
    pictures: u64,
    /// Numbers of the pictures kept are multiples of this.
    stride: u64,
    kept: Vec<Picture>,
}

impl Preview {
    /// A preview at `path`, which is begun at once, so that a name that cannot be written ends the program before
    /// the work and not after it.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for another extension than `png`, and as [`OutputFile::create`].
    pub fn create(path: &Path, sources: &Sources) -> Result<Preview, Failure> {
        let name = path.display().to_string();
        if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
            return Err(Failure::Usage(format!("{name}: a preview is a PNG file; call it NAME.png")));
        }
        let file = OutputFile::create(path, sources)?;
        Ok(Preview { path: path.to_owned(), file, pictures: 0, stride: 1, kept: Vec::new() })
    }

    /// Takes a picture in output order.
    pub fn take(&mut self, picture: &Picture) {
        self.pictures += 1;
        if picture.index.is_multiple_of(self.stride) {
            self.kept.push(picture.clone());
            if self.kept.len() > MAX_KEPT {
                self.stride *= 2;
                self.kept.retain(|kept| kept.index.is_multiple_of(self.stride));
            }
        }
    }

    /// Writes the preview. Gives the position in output order of the picture that it shows; `None` if there was no
    /// picture, and then there is no file either: an empty one would say that something was decoded.
    ///
    /// # Errors
    ///
    /// [`Failure::Png`] and [`Failure::Output`] if it cannot be written.
    pub fn finish(self) -> Result<Option<u64>, Failure> {
        let middle = self.pictures / 2;
        let Some(picture) = self.kept.iter().min_by_key(|kept| kept.index.abs_diff(middle)) else {
            return Ok(None);
        };
        png::write(&self.path, self.file, picture)?;
        Ok(Some(picture.index))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::super::testing::picture;
    use super::*;
    use crate::exit::Exit;

    fn directory(name: &str) -> PathBuf {
        let directory = std::env::temp_dir().join(format!("nvdec-preview-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }

    #[test]
    fn about_the_middle_is_shown() {
        let directory = directory("middle");
        let path = directory.join("x.png");
        for count in 1..100u64 {
            let mut preview = Preview::create(&path, &Sources::default()).unwrap();
            for index in 0..count {
                preview.take(&Picture { index, ..picture(0) });
                assert!(preview.kept.len() <= MAX_KEPT);
            }
            let shown = preview.finish().unwrap().unwrap();
            assert!(shown < count && shown.abs_diff(count / 2) <= count.div_ceil(4), "{shown} of {count}");
        }
        let file = std::io::BufReader::new(File::open(&path).unwrap());
        let info = ::png::Decoder::new(file).read_info().unwrap();
        assert_eq!((info.info().width, info.info().height), (2, 2), "the window");
        fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn without_pictures_nothing_is_left() {
        let directory = directory("none");
        let path = directory.join("x.PNG");
        let preview = Preview::create(&path, &Sources::default()).unwrap();
        assert!(fs::read_dir(&directory).unwrap().count() == 1 && !path.exists(), "under another name");
        assert_eq!(preview.finish().unwrap(), None);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        for (wrong, exit) in [("x.jpg", Exit::Usage), ("-", Exit::Usage), ("none/x.png", Exit::Fault)] {
            assert_eq!(
                Preview::create(&directory.join(wrong), &Sources::default()).err().unwrap().exit(),
                exit,
                "{wrong}"
            );
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
