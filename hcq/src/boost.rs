//! [`Boost`]: the driver is asked to raise the clocks of a GPU.

use std::fmt;
use std::sync::Arc;

use nvkernel_sys::ctrl::{self, *};
use zerocopy::FromZeros;

use crate::address_space::DeviceInner;
use crate::error::Result;

/// A request for the highest performance state, for as long as the value lives. Clocks stay within what limits the GPU
/// otherwise: power, temperature, and what its administrator has set.
///
/// It concerns all programs on the GPU, which share its clocks and its power. Never run on hardware.
pub struct Boost {
    device: Arc<DeviceInner>,
}

impl fmt::Debug for Boost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boost of {}", self.device)
    }
}

impl Boost {
    /// Asks for it, unless another one of the device lasts.
    pub(crate) fn new(device: &Arc<DeviceInner>) -> Result<Boost> {
        let mut boosts = device.boosts();
        if *boosts == 0 {
            let cmd = perf_boost_flags::CMD.of(perf_boost_flags::CMD_BOOST_TO_MAX);
            request(device, cmd, NV2080_CTRL_PERF_BOOST_DURATION_INFINITE)?;
        }
        *boosts += 1;
        Ok(Boost { device: device.clone() })
    }
}

impl Drop for Boost {
    fn drop(&mut self) {
        let mut boosts = self.device.boosts();
        *boosts -= 1;
        if *boosts == 0 {
            let cmd = perf_boost_flags::CMD.of(perf_boost_flags::CMD_CLEAR);
            if let Err(error) = request(&self.device, cmd, 0) {
                log::warn!("the clocks of {} may stay raised until the process ends: {error}", self.device);
            }
        }
    }
}

fn request(device: &DeviceInner, cmd: u32, duration: u32) -> Result<()> {
    let mut params = NV2080_CTRL_PERF_BOOST_PARAMS::new_zeroed();
    params.flags = cmd | perf_boost_flags::CUDA.of(perf_boost_flags::CUDA_YES);
    params.duration = duration;
    device.subdevice.control(&ctrl::NV2080_CTRL_CMD_PERF_BOOST, &mut params)
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use super::*;
    use crate::Device;
    use crate::kernel::emulated::{Call, EmulatedKernel, Failure, GpuModel};
    use nvkernel_sys::ioctl::NV_ESC_RM_CONTROL;
    use nvkernel_sys::status::RmStatus;

    fn device() -> (EmulatedKernel, Device) {
        let kernel = EmulatedKernel::new(GpuModel::h200()).unwrap();
        let device = Device::open(Arc::new(kernel.clone()), 0).unwrap();
        (kernel, device)
    }

    #[test]
    fn it_lasts_as_long_as_one_of_them() {
        let (kernel, device) = device();
        assert_eq!(kernel.usage().boosts, 0, "nothing asks for it by itself");
        let (first, second) = (device.boost().unwrap(), device.boost().unwrap());
        drop(first);
        assert_eq!(kernel.usage().boosts, 1);
        drop(second);
        assert_eq!(kernel.usage().boosts, 0);
        let again = device.boost().unwrap();
        drop(device);
        assert_eq!(kernel.usage().boosts, 1);
        drop(again);
        assert_eq!(kernel.usage().boosts, 0);
    }

    #[test]
    fn a_driver_that_refuses_is_an_error() {
        let (kernel, device) = device();
        let refused = Failure::Status(RmStatus::NV_ERR_INSUFFICIENT_PERMISSIONS);
        kernel.faults().fail_call(Call::Ioctl(NV_ESC_RM_CONTROL), 0, refused);
        let error = device.boost().unwrap_err();
        assert!(error.to_string().contains("NV2080_CTRL_CMD_PERF_BOOST"), "{error}");
        assert_eq!(kernel.usage().boosts, 0);
        drop(device.boost().unwrap());
    }

    /// The model holds the driver to the flags that it knows.
    #[test]
    fn what_the_flags_do_not_say_is_refused() {
        let (kernel, device) = device();
        let inner = device.inner();
        let send = |flags, duration| {
            let mut params = NV2080_CTRL_PERF_BOOST_PARAMS { flags, duration };
            inner.subdevice.control(&ctrl::NV2080_CTRL_CMD_PERF_BOOST, &mut params)
        };
        let longest = NV2080_CTRL_PERF_BOOST_DURATION_MAX;
        for (flags, duration) in [(3, longest), (0x402, longest), (0x12, longest + 1)] {
            let status = send(flags, duration).unwrap_err().rm_status();
            assert_eq!(status, Some(RmStatus::NV_ERR_INVALID_ARGUMENT), "{flags:#x} {duration}");
        }
        send(0x11, longest).unwrap();
        assert_eq!(kernel.usage().boosts, 1);
        drop(device);
        assert_eq!(kernel.usage().boosts, 0, "the driver takes it back with its client");
    }
}
