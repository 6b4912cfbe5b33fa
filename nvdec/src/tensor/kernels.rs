//! [`Kernels`]: the GPU programs of this crate, loaded into a context.

use hcq::{Device, Kernel, Module};

use super::params::{ENTRY_8, ENTRY_16};
use crate::error::Result;

/// `kernels/convert.cu`, compiled for each architecture by `kernels/build.py`.
pub(crate) static CUBINS: [&[u8]; 11] = [
    include_bytes!("../../kernels/cubin/convert.sm_75.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_80.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_86.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_87.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_89.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_90.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_100.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_103.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_110.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_120.cubin"),
    include_bytes!("../../kernels/cubin/convert.sm_121.cubin"),
];

/// The code of the kernels that [`Recipe`](super::Recipe)s name, for the GPU of `device`: a cubin, whole, for those who load it into
/// another context, such as CUDA's. It is what [`Converter`](super::Converter) runs.
///
/// # Errors
///
/// [`Error::Gpu`](crate::Error::Gpu) if there is none for the GPU, or it is not known which it is.
pub fn cubin(device: &Device) -> Result<&'static [u8]> {
    Ok(Module::fitting(device, CUBINS)?)
}

/// The kernels that make tensors.
#[derive(Debug)]
pub(crate) struct Kernels {
    convert_8: Kernel,
    convert_16: Kernel,
}

impl Kernels {
    /// Loads the code for the GPU's architecture.
    pub(crate) fn load(device: &Device) -> Result<Kernels> {
        let module = Module::load_any(device, CUBINS)?;
        Ok(Kernels { convert_8: module.kernel(ENTRY_8)?, convert_16: module.kernel(ENTRY_16)? })
    }

    /// The one with that entry symbol, of the two that there are.
    pub(crate) fn of(&self, entry: &str) -> &Kernel {
        if entry == ENTRY_16 { &self.convert_16 } else { &self.convert_8 }
    }
}
