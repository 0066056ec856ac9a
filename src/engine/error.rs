//! What can go wrong between a recording and its result.

use thiserror::Error;

/// An error of the compute engine. Each names the device and says what to do.
#[derive(Debug, Error, Clone)]
pub enum EngineError {
    #[error(
        "no usable GPU adapter found ({detail}); install a Vulkan, Metal or DX12 driver or use --device cpu"
    )]
    NoAdapter { detail: String },
    #[error("no device matches '{wanted}'; the devices here are: {available}")]
    UnknownDevice { wanted: String, available: String },
    #[error(
        "{device}: the device was lost ({detail}); close other programs that use it, update its driver, or use --device cpu"
    )]
    DeviceLost { device: String, detail: String },
    #[error(
        "{device}: out of memory while allocating {wanted_mib} MiB for {what}; use a smaller model or a shorter text{}",
        elsewhere(device)
    )]
    OutOfMemory {
        device: String,
        what: String,
        wanted_mib: u64,
    },
    #[error(
        "{device}: {needed_mib} MiB are needed for {what} and {available_mib} MiB are available; {advice}"
    )]
    WillNotFit {
        device: String,
        what: String,
        needed_mib: u64,
        available_mib: u64,
        advice: String,
    },
    #[error(
        "{device}: the shader '{shader}' failed: {detail}; please report this with the output of `inscribe devices`"
    )]
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

/// The CPU is no way out of its own lack of memory.
fn elsewhere(device: &str) -> &'static str {
    match device.starts_with("CPU") {
        true => "",
        false => ", or --device cpu",
    }
}

/// Bytes as whole mebibytes, rounded up, for messages.
pub fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}
