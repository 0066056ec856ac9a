//! What settings can be trained.

use crate::train::base::Base;
use crate::train::error::TrainError;
use crate::train::settings::{NetShape, TrainSettings, Writer};
use crate::train::task::Task;

impl TrainSettings {
    /// Refuses what cannot be trained.
    pub fn check(&self, task: &dyn Task) -> Result<(), TrainError> {
        let net = &self.net;
        let sizes = [
            ("memory", net.memory, 1 << 12),
            ("batch", self.batch, 1 << 16),
            ("questions", self.questions, 1 << 12),
        ];
        check_sizes(&sizes)?;
        match &self.base {
            Some(base) => self.check_beside(base)?,
            None => net.check()?,
        }
        let numbers = [
            ("alpha", self.inner.alpha),
            ("lr", self.lr),
            ("clip", self.clip),
        ];
        for (setting, value) in numbers {
            if !(value.is_finite() && value > 0.0) {
                return Err(TrainError::setting(
                    setting,
                    format!("is {value}; it must be above 0"),
                ));
            }
        }
        let changed = match (&self.data, task.data()) {
            (Some(own), Some(found)) => own.sha256 != found.sha256,
            _ => false,
        };
        if changed {
            let detail = "is not what the run was started with; put it back as it was, or start \
                          another run";
            return Err(TrainError::setting("data", detail));
        }
        if self.stages.is_empty() {
            return Err(TrainError::setting("curriculum", "names no stage"));
        }
        for stage in &self.stages {
            task.check_level(stage.level)
                .map_err(|detail| TrainError::setting("level", detail))?;
            if stage.inner_steps > 64 {
                let detail = format!("is {}; up to 64 can be trained", stage.inner_steps);
                return Err(TrainError::setting("inner steps", detail));
            }
        }
        Ok(())
    }
}

fn check_sizes(sizes: &[(&'static str, usize, usize)]) -> Result<(), TrainError> {
    for &(setting, value, most) in sizes {
        if value == 0 || value > most {
            let detail = format!("is {value}; 1 to {most} can be trained");
            return Err(TrainError::setting(setting, detail));
        }
    }
    Ok(())
}

impl NetShape {
    /// Refuses a model that cannot be trained from nothing.
    pub(in crate::train) fn check(&self) -> Result<(), TrainError> {
        check_sizes(&[
            ("layers", self.layers, 1 << 10),
            ("hidden", self.hidden, 1 << 14),
            ("heads", self.heads, 1 << 10),
        ])?;
        if !self.hidden.is_multiple_of(2 * self.heads) {
            let detail = format!(
                "is {}, of which each of {} heads must get an even share",
                self.hidden, self.heads
            );
            return Err(TrainError::setting("hidden", detail));
        }
        Ok(())
    }
}

impl TrainSettings {
    /// Refuses what cannot be trained beside a model that stays as it is.
    fn check_beside(&self, base: &Base) -> Result<(), TrainError> {
        if self.writer != Writer::Gradmem {
            let detail = "stays as it is; forward passes alone write only into models that are \
                          trained for it";
            return Err(TrainError::setting("base", detail));
        }
        if self.net.write_head {
            let detail = "is trained with a model of its own alone, not beside a base model";
            return Err(TrainError::setting("write head", detail));
        }
        let Some(lora) = &base.lora else {
            return Ok(());
        };
        check_sizes(&[("rank", lora.rank, 1 << 10)])?;
        if !(lora.alpha.is_finite() && lora.alpha > 0.0) || lora.targets.is_empty() {
            let detail = "needs a scale above 0 and a projection to add to";
            return Err(TrainError::setting("adapter", detail));
        }
        Ok(())
    }
}
