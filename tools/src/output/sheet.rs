//! A contact sheet: pictures of a film side by side in one PNG file, scaled on the GPU.

use std::path::{Path, PathBuf};

use nvdec::Video;
use nvdec::tensor::{Dtype, Layout, Orientation, Rotation, TensorSpec};

use super::file::{OutputFile, Sources, is_dash};
use crate::decode::Batch;
use crate::exit::Failure;
use crate::film::wanted::Grid;

/// About how wide a sheet is, in pixels.
const WIDTH: u32 = 1600;
/// Bytes of a pixel.
const RGB: usize = 3;

/// What a tile is, for the tensors that it is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Tile {
    /// Its width and height in pixels.
    pub size: (u32, u32),
    /// How pictures become such.
    pub spec: TensorSpec,
}

impl Tile {
    /// The tile of a sheet of `grid`: as pictures of `video` are shown, by the shape of its samples and the turn that the
    /// container asks for.
    pub fn of(video: &Video, grid: Grid) -> Tile {
        let window = video.index().window();
        let (wide, high) = video.track().pixel_aspect.unwrap_or((1, 1));
        let (width, height) = (
            f64::from(window.width) * f64::from(wide.max(1)),
            f64::from(window.height) * f64::from(high.max(1)),
        );
        let turn = match video.track().rotation() {
            Some(90) => Rotation::By90,
            Some(180) => Rotation::By180,
            Some(270) => Rotation::By270,
            _ => Rotation::None,
        };
        let lies = matches!(turn, Rotation::By90 | Rotation::By270);
        let (width, height) = if lies { (height, width) } else { (width, height) };
        let tile_width = (WIDTH / grid.columns).max(1);
        let tile_height =
            (f64::from(tile_width) * height / width).round().clamp(1.0, f64::from(WIDTH)) as u32;
        let orientation = match turn {
            Rotation::None => Orientation::Auto,
            turn => Orientation::Fixed { is_mirrored: false, turn },
        };
        let spec = TensorSpec::new()
            .size(tile_width, tile_height)
            .dtype(Dtype::U8)
            .layout(Layout::Nhwc)
            .orientation(orientation);
        Tile { size: (tile_width, tile_height), spec }
    }
}

/// A sheet that is being filled, row by row.
pub struct Sheet {
    path: PathBuf,
    file: OutputFile,
    grid: Grid,
    tile: (u32, u32),
    pixels: Vec<u8>,
}

impl Sheet {
    /// A sheet at `path`, which is begun at once. It has as many rows as `pictures` fill.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] without a path or for another extension than `png`, and as [`OutputFile::create`].
    pub fn create(
        path: Option<&Path>,
        grid: Grid,
        tile: (u32, u32),
        pictures: usize,
        sources: &Sources,
    ) -> Result<Sheet, Failure> {
        let is_png = |path: &&Path| path.extension().is_some_and(|e| e.eq_ignore_ascii_case("png"));
        let Some(path) = path.filter(|path| !is_dash(path)).filter(is_png) else {
            return Err(Failure::Usage("a sheet of thumbnails is a PNG file: give -o NAME.png".to_owned()));
        };
        let file = OutputFile::create(path, sources)?;
        let rows = grid.rows.min(pictures.div_ceil(grid.columns as usize) as u32).max(1);
        let grid = Grid { rows, ..grid };
        let size = (grid.columns * tile.0) as usize * (rows * tile.1) as usize * RGB;
        Ok(Sheet { path: path.to_owned(), file, grid, tile, pixels: vec![0; size] })
    }

    /// Puts pictures in the next tiles.
    ///
    /// # Errors
    ///
    /// Those of fetching them.
    pub fn tensor(&mut self, batch: &Batch) -> Result<(), Failure> {
        let elements = batch.tensor.to_host()?;
        let (width, height) = (self.tile.0 as usize, self.tile.1 as usize);
        for (number, picture) in elements.chunks_exact(width * height * RGB).enumerate() {
            self.put(batch.index as usize + number, picture);
        }
        Ok(())
    }

    fn put(&mut self, number: usize, picture: &[u8]) {
        let (width, height) = (self.tile.0 as usize, self.tile.1 as usize);
        let columns = self.grid.columns as usize;
        let (column, row) = (number % columns, number / columns);
        for (y, line) in picture.chunks_exact(width * RGB).enumerate() {
            let at = ((row * height + y) * columns + column) * width * RGB;
            if let Some(place) = self.pixels.get_mut(at..at + line.len()) {
                place.copy_from_slice(line);
            }
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    ///
    /// [`Failure::Png`] and [`Failure::Output`].
    pub fn finish(self) -> Result<(), Failure> {
        let Sheet { path, mut file, grid, tile, pixels } = self;
        let mut encoder = png::Encoder::new(&mut file, grid.columns * tile.0, grid.rows * tile.1);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder
            .write_header()
            .and_then(|mut writer| {
                writer.write_image_data(&pixels)?;
                writer.finish()
            })
            .map_err(|source| Failure::Png { path, source })?;
        file.commit().map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(name: &str) -> Video {
        let path: PathBuf =
            [env!("CARGO_MANIFEST_DIR"), "../nvdec/containers/tests/data", name].iter().collect();
        Video::open(path).unwrap()
    }

    #[test]
    fn tiles_have_the_shape_in_which_pictures_are_shown() {
        let grid = Grid { columns: 4, rows: 4 };
        assert_eq!(Tile::of(&video("plain.mp4"), grid).size, (400, 300));
        assert_eq!(Tile::of(&video("rotated.mp4"), grid).size, (400, 533));
        assert_eq!(Tile::of(&video("colour.mp4"), grid).size, (400, 200), "samples of 3:2");
    }

    #[test]
    fn pictures_stand_in_rows() {
        let folder = std::env::temp_dir().join(format!("nvdec-sheet-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("x.png");
        let grid = Grid { columns: 2, rows: 3 };
        let mut sheet = Sheet::create(Some(&path), grid, (1, 2), 3, &Sources::default()).unwrap();
        for number in 0..3 {
            sheet.put(number, &[10 * number as u8 + 1, 0, 0, 10 * number as u8 + 2, 0, 0]);
        }
        sheet.finish().unwrap();
        let file = std::io::BufReader::new(std::fs::File::open(&path).unwrap());
        let mut reader = png::Decoder::new(file).read_info().unwrap();
        let mut data = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut data).unwrap();
        assert_eq!((info.width, info.height), (2, 4), "two of three rows");
        let red: Vec<u8> = data.chunks_exact(RGB).map(|pixel| pixel[0]).collect();
        assert_eq!(red, [1, 11, 2, 12, 21, 0, 22, 0]);
        for wrong in [None, Some(Path::new("-")), Some(Path::new("x.jpg"))] {
            assert!(matches!(
                Sheet::create(wrong, grid, (1, 1), 1, &Sources::default()).err().unwrap(),
                Failure::Usage(_)
            ));
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
