//! One picture of a stream to look at, whatever else becomes of the stream.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::Sink;
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
    file: Option<File>,
    pictures: u64,
    /// Numbers of the pictures kept are multiples of this.
    stride: u64,
    kept: Vec<Picture>,
    shown: Option<u64>,
}

impl Preview {
    /// A preview at `path`, which is created at once, so that a name that cannot be written ends the program before
    /// the work and not after it.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for another extension than `png`, [`Failure::Output`] if the file cannot be created.
    pub fn create(path: &Path) -> Result<Preview, Failure> {
        let name = path.display().to_string();
        if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("png")) {
            return Err(Failure::Usage(format!("{name}: a preview is a PNG file; call it NAME.png")));
        }
        let file = File::create(path).map_err(|source| Failure::Output { path: name, source })?;
        let path = path.to_owned();
        Ok(Preview { path, file: Some(file), pictures: 0, stride: 1, kept: Vec::new(), shown: None })
    }

    /// Where the preview is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which picture was written, by its position in output order.
    pub fn shown(&self) -> Option<u64> {
        self.shown
    }
}

impl Sink for Preview {
    fn picture(&mut self, picture: &Picture) -> Result<(), Failure> {
        self.pictures += 1;
        if picture.index.is_multiple_of(self.stride) {
            self.kept.push(picture.clone());
            if self.kept.len() > MAX_KEPT {
                self.stride *= 2;
                self.kept.retain(|kept| kept.index.is_multiple_of(self.stride));
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), Failure> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let middle = self.pictures / 2;
        let Some(picture) = self.kept.iter().min_by_key(|kept| kept.index.abs_diff(middle)) else {
            // Nothing was decoded, which is said elsewhere; an empty file would say that something was.
            drop(file);
            return fs::remove_file(&self.path)
                .map_err(|source| Failure::Output { path: self.path.display().to_string(), source });
        };
        self.shown = Some(picture.index);
        png::write(&self.path, file, picture)
    }
}

#[cfg(test)]
mod tests {
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
            let mut preview = Preview::create(&path).unwrap();
            for index in 0..count {
                preview.picture(&Picture { index, ..picture(0) }).unwrap();
                assert!(preview.kept.len() <= MAX_KEPT);
            }
            preview.finish().unwrap();
            let shown = preview.shown().unwrap();
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
        let mut preview = Preview::create(&path).unwrap();
        assert!(path.exists());
        preview.finish().unwrap();
        assert!(!path.exists() && preview.shown().is_none());
        for (wrong, exit) in [("x.jpg", Exit::Usage), ("-", Exit::Usage), ("none/x.png", Exit::Fault)] {
            assert_eq!(Preview::create(&directory.join(wrong)).err().unwrap().exit(), exit, "{wrong}");
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
