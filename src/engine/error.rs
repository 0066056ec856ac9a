//! What can go wrong between a recording and its result.

use thiserror::Error;

use crate::advice::Advice;

/// An error of the compute engine. Each names the device and says what to do; [`EngineError::advice`]
/// is the way out that the program itself has.
#[derive(Debug, Error, Clone)]
pub enum EngineError {
    #[error("no usable GPU adapter found ({detail}); install a Vulkan, Metal or DX12 driver")]
    NoAdapter { detail: String },
    #[error("no device matches '{wanted}'; the devices here are: {available}")]
    UnknownDevice { wanted: String, available: String },
    #[error(
        "{device}: the device was lost ({detail}); close other programs that use it, or update its driver"
    )]
    DeviceLost { device: String, detail: String },
    #[error(
        "{device}: out of memory while allocating {wanted_mib} MiB for {what}; use a smaller model or a shorter text"
    )]
    OutOfMemory {
        device: String,
        what: String,
        wanted_mib: u64,
    },
    #[error(
        "{device}: {needed_mib} MiB are needed for {what} and {available_mib} MiB are available; {remedy}"
    )]
    WillNotFit {
        device: String,
        what: String,
        needed_mib: u64,
        available_mib: u64,
        /// What needs less memory, in words.
        remedy: String,
        /// What else needs less. On a GPU without such advice, the CPU may have enough.
        advice: Option<Advice>,
    },
    #[error("{device}: the shader '{shader}' failed: {detail}; please report this")]
    Shader {
        device: String,
        shader: String,
        detail: String,
    },
    #[error("{device}: {detail}")]
    Gpu { device: String, detail: String },
    #[error("cancelled")]
    Cancelled,
    #[error("recording: {0}")]
    Recording(String),
}

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
