//! What can go wrong between a recording and its result.

use thiserror::Error;

use crate::advice::Advice;

/// An error of the compute engine. Each names the device and says what to do;
/// [`EngineError::advice`] is the way out that the program itself has.
#[derive(Debug, Error, Clone)]
pub enum EngineError {
    /// No GPU was found that can be used.
    #[error("no usable GPU adapter found ({detail}); install a Vulkan, Metal or DX12 driver")]
    NoAdapter {
        /// Why none was taken: what was found, if anything.
        detail: String,
    },
    /// The name or number that the user gave fits no device.
    #[error("no device matches '{wanted}'; the devices here are: {available}")]
    UnknownDevice {
        /// The name or number as it was given.
        wanted: String,
        /// The names of the devices that there are.
        available: String,
    },
    /// The device stopped answering; whatever was in its memory is gone.
    #[error(
        "{device}: the device was lost ({detail}); close other programs that use it, or update its driver"
    )]
    DeviceLost {
        /// Name of the device.
        device: String,
        /// What the driver reported.
        detail: String,
    },
    /// An allocation failed.
    #[error(
        "{device}: out of memory while allocating {wanted_mib} MiB for {what}; use a smaller model or a shorter text"
    )]
    OutOfMemory {
        /// Name of the device.
        device: String,
        /// What the memory was for, in words.
        what: String,
        /// MiB that were asked for.
        wanted_mib: u64,
    },
    /// A plan needs more memory than the device has left; nothing was allocated.
    #[error(
        "{device}: {needed_mib} MiB are needed for {what} and {available_mib} MiB are available; {remedy}"
    )]
    WillNotFit {
        /// Name of the device.
        device: String,
        /// What the memory is for, in words.
        what: String,
        /// MiB that the plan needs.
        needed_mib: u64,
        /// MiB that the device has left.
        available_mib: u64,
        /// What needs less memory, in words.
        remedy: String,
        /// What the program offers for needing less. On a GPU without such advice, the CPU may have
        /// enough.
        advice: Option<Advice>,
    },
    /// A shader did not compile or its pipeline could not be made.
    #[error("{device}: the shader '{shader}' failed: {detail}; please report this")]
    Shader {
        /// Name of the device.
        device: String,
        /// File name of the shader, without its ending.
        shader: String,
        /// What the compiler or the driver reported.
        detail: String,
    },
    /// Any other failure that the driver reported.
    #[error("{device}: {detail}")]
    Gpu {
        /// Name of the device.
        device: String,
        /// What the driver reported.
        detail: String,
    },
    /// The work was stopped on request.
    #[error("cancelled")]
    Cancelled,
    /// A recording that cannot be run; what is wrong with it, in words. A mistake of the program.
    #[error("recording: {0}")]
    Recording(String),
}

/// The outcome of an operation of the engine.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

impl EngineError {
    /// The way out that the program itself has.
    pub fn advice(&self) -> Option<Advice> {
        match self {
            EngineError::NoAdapter { .. } => Some(Advice::UseCpu),
            EngineError::DeviceLost { device, .. }
            | EngineError::Gpu { device, .. }
            | EngineError::OutOfMemory { device, .. } => cpu_instead_of(device),
            EngineError::WillNotFit { device, advice, .. } => {
                advice.or_else(|| cpu_instead_of(device))
            }
            EngineError::Shader { .. } => Some(Advice::Report),
            EngineError::UnknownDevice { .. }
            | EngineError::Cancelled
            | EngineError::Recording(_) => None,
        }
    }
}

/// The CPU is no way out of its own lack of memory.
fn cpu_instead_of(device: &str) -> Option<Advice> {
    (!device.starts_with("CPU")).then_some(Advice::UseCpu)
}

/// Bytes as whole mebibytes, rounded up, for messages.
pub fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
