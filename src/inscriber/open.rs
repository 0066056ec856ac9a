//! Opening a model: found or fetched, put on a device.

use std::path::{Path, PathBuf};

use super::{Error, Inscriber};
use crate::engine::CancelToken;
use crate::engine::select::{self, SelectOptions};
use crate::kernels::self_test::fast_products;
use crate::model::hub::{ModelCache, PullEvent, Puller, Setup, Source, Watch};
use crate::model::loaded::Loaded;
use crate::model::locate;
use crate::model::model_file::Model;

/// What happens while a model is opened.
#[derive(Debug)]
pub enum OpenEvent<'a> {
    /// The device is open.
    Device {
        /// Name of the device.
        name: &'a str,
        /// Why this device was taken, in words for people.
        why: &'a str,
    },
    /// The model is being fetched.
    Fetch(&'a PullEvent<'a>),
    /// The model is here, at this file or folder.
    Found(&'a Path),
    /// The model's weights are being put on the device.
    Loading {
        /// Bytes that are on the device.
        done: u64,
        /// Bytes of all weights.
        total: u64,
    },
}

/// A model about to be opened.
pub struct Opening {
    model: String,
    device: SelectOptions,
    cache: Option<PathBuf>,
    hub: Option<Setup>,
    cancel: CancelToken,
}

impl Opening {
    pub(super) fn new(model: &str) -> Opening {
        Opening {
            model: model.to_owned(),
            device: SelectOptions::default(),
            cache: None,
            hub: None,
            cancel: CancelToken::new(),
        }
    }

    /// Chooses the device, and how to open it.
    pub fn device(mut self, device: SelectOptions) -> Opening {
        self.device = device;
        self
    }

    /// Sets the folder that models are kept in, instead of this platform's usual one.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Opening {
        self.cache = Some(folder.into());
        self
    }

    /// Sets where models are fetched from, instead of what the environment says.
    pub fn hub(mut self, hub: Setup) -> Opening {
        self.hub = Some(hub);
        self
    }

    /// Stops the opening, and later whatever the model does, once `cancel` is cancelled.
    pub fn stopped_by(mut self, cancel: &CancelToken) -> Opening {
        self.cancel = cancel.clone();
        self
    }

    /// Opens the device first, since a wrong one should not wait for a model to be fetched, then
    /// finds the model or fetches it, and puts it on the device.
    pub fn run(self, on_event: &mut dyn FnMut(OpenEvent<'_>)) -> Result<Inscriber, Error> {
        let cache = match &self.cache {
            Some(folder) => Ok(ModelCache::at(folder)),
            None => ModelCache::open(),
        };
        let mut options = self.device.clone();
        if let (Ok(cache), None) = (&cache, &options.cache_dir) {
            options.cache_dir = Some(cache.root().join("pipelines"));
        }
        options.self_test.get_or_insert(fast_products);
        let opened = select::open(&options)?;
        on_event(OpenEvent::Device {
            name: opened.device.name(),
            why: &opened.why,
        });
        let spec = locate::resolve(&self.model, cache.as_ref().ok())?;
        let path = match spec.path() {
            Some(path) => path.to_owned(),
            None => {
                let puller = Puller {
                    cache: cache?,
                    setup: self.hub.clone().unwrap_or_else(Setup::from_env),
                    source: Source::Auto,
                    force: false,
                };
                let mut report = |event: &PullEvent<'_>| on_event(OpenEvent::Fetch(event));
                let mut watch = Watch::new(self.cancel.flag(), &mut report);
                spec.obtain(&puller, &mut watch)?
            }
        };
        on_event(OpenEvent::Found(&path));
        let mut model = Model::open(&path)?;
        if let Some(title) = spec.title(&path) {
            model.name = title;
        }
        let total = model.file.total_bytes();
        let mut progress = |done| {
            on_event(OpenEvent::Loading { done, total });
            self.cancel.check()
        };
        let loaded = Loaded::new(model, opened.device, &mut progress)?;
        Ok(Inscriber::of(loaded)?.stopped_by(&self.cancel))
    }
}
