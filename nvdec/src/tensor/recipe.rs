//! [`Recipe`]: a conversion for those who launch it themselves, in a context of another library.

use zerocopy::IntoBytes;

use super::params::Params;
use super::plan::{PictureShape, Plan};
use super::shape::TensorShape;
use super::spec::TensorSpec;
use crate::error::Result;
use crate::frame::Frame;

/// How pictures of one kind become tensors: all that a launch needs, as plain values.
///
/// [`Converter`](super::Converter) and [`TensorPool`](super::TensorPool) launch conversions on queues of this crate. A program whose
/// GPU work lies in another context, such as CUDA's, loads [`cubin`](super::cubin) there and launches the [`kernel`](Self::kernel)
/// with these values: the elements are the same to the bit. It waits for [`Frame::before_read`] first, and says with
/// [`Surface::use_until`](crate::Surface::use_until) until when it reads. `nvdec-cuda` does all of that.
///
/// Nothing here touches the GPU. A kernel goes wherever its parameters lead, so that to launch one is the caller's promise:
/// the surface of a frame that the recipe [is for](Self::is_for) at [`Places::surface`], mapped over
/// [`surface_bytes`](Self::surface_bytes); a copy of [`tables`](Self::tables) at [`Places::tables`]; and
/// [`extent`](Self::extent) bytes that may be written at [`Places::output`].
#[derive(Clone, Debug)]
pub struct Recipe {
    of: PictureShape,
    shape: TensorShape,
    plan: Plan,
}

/// Where a launch finds what it works with: addresses of the context that it runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Places {
    /// Beginning of the surface ([`Surface::buffer`](crate::Surface::buffer)), a multiple of 16.
    pub surface: u64,
    /// Beginning of the tables, a multiple of 4.
    pub tables: u64,
    /// The first element of the first channel, line and column; a multiple of an element.
    pub output: u64,
}

impl Recipe {
    /// Bytes of the kernel's one parameter.
    pub const PARAMETER_BYTES: usize = size_of::<Params>();

    /// For frames such as `frame`.
    ///
    /// # Errors
    ///
    /// [`Error::TensorSpec`](crate::Error::TensorSpec) if the spec makes no sense, or does not fit the picture: a crop outside of it,
    /// a matrix that is not known. [`Error::TensorPicture`](crate::Error::TensorPicture) for pictures that cannot be converted.
    pub fn new(spec: &TensorSpec, frame: &Frame) -> Result<Recipe> {
        Recipe::of(spec, PictureShape::of(frame))
    }

    pub(super) fn of(spec: &TensorSpec, of: PictureShape) -> Result<Recipe> {
        let plan = Plan::new(spec, &of)?;
        Ok(Recipe { of, shape: TensorShape::of(&plan), plan })
    }

    pub(super) fn picture(&self) -> &PictureShape {
        &self.of
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Whether it is for frames such as `frame`: of the same size, format, window, colour and orientation.
    pub fn is_for(&self, frame: &Frame) -> bool {
        self.of.is_of(frame)
    }

    /// What comes out.
    pub fn shape(&self) -> &TensorShape {
        &self.shape
    }

    /// Entry symbol of the kernel in [`cubin`](super::cubin).
    pub fn kernel(&self) -> &'static str {
        self.plan.entry()
    }

    /// Blocks of the grid.
    pub fn grid(&self) -> [u32; 3] {
        self.plan.grid()
    }

    /// Threads of a block. There is no shared memory.
    pub fn block(&self) -> [u32; 3] {
        self.plan.block()
    }

    /// What is to lie in GPU memory at [`Places::tables`], for all launches of the recipe: up to some 100 KiB.
    pub fn tables(&self) -> &[u8] {
        self.plan.tables()
    }

    /// Bytes of a surface that a launch may read.
    pub fn surface_bytes(&self) -> u64 {
        self.of.geometry.bytes()
    }

    /// Bytes from the first one that a launch writes to behind the last one. `strides` are bytes from one channel, line and column to
    /// the next; without them all elements lie side by side in the spec's layout.
    ///
    /// # Errors
    ///
    /// [`Error::TensorMemory`](crate::Error::TensorMemory) if strides are negative, no multiples of an element, or may let elements
    /// overlap.
    pub fn extent(&self, strides: Option<[i64; 3]>) -> Result<u64> {
        self.plan.extent(strides)
    }

    /// The kernel's one parameter, by value. `strides` as of [`extent`](Self::extent).
    ///
    /// # Errors
    ///
    /// As [`extent`](Self::extent), and if an address is no multiple of what [`Places`] says, or so high that something does not end
    /// within 64 bits.
    pub fn parameter(
        &self,
        places: Places,
        strides: Option<[i64; 3]>,
    ) -> Result<[u8; Self::PARAMETER_BYTES]> {
        let Places { surface, tables, output } = places;
        let needs = [
            ("surface", surface, self.surface_bytes(), 16),
            ("tables", tables, self.tables().len() as u64, 4),
            // The plan looks at its alignment.
            ("output", output, self.extent(strides)?, 1),
        ];
        for (what, address, bytes, alignment) in needs {
            if !address.is_multiple_of(alignment) {
                let fault = format!("the address of its {what}, {address:#x}, is no multiple of {alignment}");
                return Err(self.plan.unwritable(fault));
            }
            if address.checked_add(bytes).is_none() {
                let fault = format!("the {bytes} bytes of its {what} do not end behind {address:#x}");
                return Err(self.plan.unwritable(fault));
            }
        }
        let chroma = surface + self.of.geometry.chroma_offset();
        let params = self.plan.params(surface, chroma, tables, output, strides)?;
        Ok(params.as_bytes().try_into().expect("it is as long as its structure"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::class::Chroma;
    use crate::pictures::info::Colour;
    use crate::surface::format::{Rect, SurfaceFormat, SurfaceGeometry};

    fn recipe(text: &str, bit_depth: u8) -> Recipe {
        let geometry = SurfaceGeometry::new(SurfaceFormat::new(Chroma::C420, bit_depth), 416, 240);
        let window = Rect { left: 0, top: 0, width: 416, height: 240 };
        let of = PictureShape { geometry, window, colour: Colour::default(), orientation: None };
        Recipe::of(&text.parse().unwrap(), of).unwrap()
    }

    /// As `Converter` writes it for one picture, and for one of a group.
    #[test]
    fn the_parameter_is_that_of_our_own_launches() {
        for (text, depth) in [("size=64x48,dtype=f16", 8), ("layout=nhwc,resize=bicubic,size=32x32", 10)] {
            let recipe = recipe(text, depth);
            let places =
                Places { surface: 0x7f00_0000_0000, tables: 0x7f10_0000_0004, output: 0x7f20_0000_0800 };
            let parameter = recipe.parameter(places, None).unwrap();
            let chroma = places.surface + recipe.of.geometry.chroma_offset();
            let plan = recipe.plan();
            let one = plan.params(places.surface, chroma, places.tables, places.output, None).unwrap();
            assert_eq!(parameter, one.as_bytes());
            let template = plan.params(0, 0, places.tables, 0, None).unwrap();
            let of_group = Params { luma: places.surface, chroma, output: places.output, ..template };
            assert_eq!(parameter, of_group.as_bytes());
            let strides = Some([1 << 20, 1 << 12, 4]);
            let strided = plan.params(places.surface, chroma, places.tables, places.output, strides).unwrap();
            assert_eq!(recipe.parameter(places, strides).unwrap(), strided.as_bytes());
            assert_eq!(recipe.extent(None).unwrap(), recipe.shape().bytes());
            assert_eq!(recipe.extent(strides).unwrap(), plan.extent(strides).unwrap());
        }
        assert_eq!(
            (recipe("", 8).kernel(), recipe("", 10).kernel()),
            ("nvdec_convert_8", "nvdec_convert_16")
        );
    }

    #[test]
    fn addresses_that_cannot_be_are_refused() {
        let recipe = recipe("size=64x48,dtype=f16", 8);
        let good = Places { surface: 1 << 20, tables: 1 << 21, output: 1 << 22 };
        assert!(recipe.parameter(good, None).is_ok());
        let wrong = [
            Places { surface: 8, ..good },
            Places { tables: 2, ..good },
            Places { output: 1, ..good },
            Places { surface: u64::MAX - 15, ..good },
            Places { tables: u64::MAX - 3, ..good },
            Places { output: u64::MAX - 1, ..good },
        ];
        for places in wrong {
            let error = recipe.parameter(places, None).unwrap_err();
            assert!(matches!(error, crate::Error::TensorMemory { .. }), "{error}");
        }
        assert!(recipe.parameter(good, Some([-2, 2, 2])).is_err());
    }
}
