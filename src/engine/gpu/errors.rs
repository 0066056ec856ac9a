//! Turns what wgpu reports, whenever it does, into this crate's errors.

use std::sync::{Arc, Mutex};

use wgpu::{Device, ErrorFilter};

use crate::engine::error::{EngineError, Result};

/// What went wrong on one device so far.
#[derive(Clone)]
pub struct Failures {
    device: Arc<str>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Why the device was lost: nothing works any more.
    lost: Option<String>,
    /// The first error that no call has returned yet.
    pending: Option<EngineError>,
}

impl Failures {
    /// Listens to a device.
    pub fn watch(device: &Device, name: &str) -> Failures {
        let failures = Failures {
            device: name.into(),
            state: Arc::default(),
        };
        let listener = failures.clone();
        device.on_uncaptured_error(Arc::new(move |error| {
            let error = listener.typed(error, "work");
            listener.with(|state| {
                state.pending.get_or_insert(error);
            });
        }));
        let listener = failures.clone();
        device.set_device_lost_callback(move |reason, message| {
            let detail = match reason {
                wgpu::DeviceLostReason::Destroyed => "it was shut down".to_owned(),
                wgpu::DeviceLostReason::Unknown => message,
            };
            listener.with(|state| {
                state.lost.get_or_insert(detail);
            });
        });
        failures
    }

    /// The device's name.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Fails if the device is lost, or if an error has not been returned yet.
    pub fn check(&self) -> Result<()> {
        self.with(|state| match (&state.lost, state.pending.take()) {
            (Some(detail), _) => Err(EngineError::DeviceLost {
                device: self.device.to_string(),
                detail: detail.clone(),
            }),
            (None, Some(error)) => Err(error),
            (None, None) => Ok(()),
        })
    }

    /// Runs `f` and catches the error it raises on this thread, if any.
    pub fn scoped<T>(&self, device: &Device, f: impl FnOnce() -> T) -> (T, Option<wgpu::Error>) {
        let memory = device.push_error_scope(ErrorFilter::OutOfMemory);
        let internal = device.push_error_scope(ErrorFilter::Internal);
        let validation = device.push_error_scope(ErrorFilter::Validation);
        let value = f();
        let validation = pollster::block_on(validation.pop());
        let internal = pollster::block_on(internal.pop());
        let memory = pollster::block_on(memory.pop());
        (value, memory.or(internal).or(validation))
    }

    /// Names an error of wgpu that arose during `what`.
    pub fn typed(&self, error: wgpu::Error, what: &str) -> EngineError {
        let device = self.device.to_string();
        match error {
            wgpu::Error::OutOfMemory { .. } => EngineError::OutOfMemory {
                device,
                what: what.to_owned(),
                wanted_mib: 0,
            },
            wgpu::Error::Validation { description, .. }
            | wgpu::Error::Internal { description, .. } => EngineError::Gpu {
                device,
                detail: description,
            },
        }
    }

    pub fn shader(&self, shader: &str, detail: impl Into<String>) -> EngineError {
        match self.check() {
            Err(lost @ EngineError::DeviceLost { .. }) => lost,
            _ => EngineError::Shader {
                device: self.device.to_string(),
                shader: shader.to_owned(),
                detail: detail.into(),
            },
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.state.lock().unwrap_or_else(|e| e.into_inner()))
    }
}
