//! What each name expands to.

use frostline_zoo::is_adapter;

use super::{Part, Parts, PhaseSpec, Rule, Strategy, StrategyError};

impl Strategy {
    /// The phases of this strategy, not yet laid over the epochs.
    pub(super) fn specs(&self, parts: &Parts, epochs: usize) -> Result<Vec<PhaseSpec>, StrategyError> {
        let name = self.to_string();
        let one = |list: &[Part]| Ok(vec![PhaseSpec::training(&name, list)]);
        let probe = || PhaseSpec::training("head", &[Part::Head]);
        let all = || PhaseSpec::training("all", &[Part::All]);
        match self {
            Self::Full => one(&[Part::All]),
            Self::Head => one(&[Part::Head]),
            Self::Last(k) => one(&self.stages(parts, *k, |trunk, k| trunk - k..trunk)?),
            Self::First(k) => one(&self.stages(parts, *k, |_, k| 0..k)?),
            Self::Thaw => self.thaw(parts, epochs),
            Self::FreezeThenThaw(frozen) => Ok(vec![probe().lasting(*frozen), all()]),
            Self::LpFt => Ok(vec![probe(), all().slowed(0.1)]),
            Self::ThreePhase => Ok(vec![probe(), last_stages(parts).slowed(0.1), all().slowed(0.01)]),
            Self::LayerDecay(decay) => {
                let rate = |stage: usize| decay.powi((parts.head() - stage) as i32);
                let rules = (0..parts.stages.len())
                    .map(|stage| Rule { part: stage_part(parts, stage), rate: rate(stage) });
                Ok(vec![PhaseSpec { rules: rules.collect(), ..PhaseSpec::training(&name, &[]) }])
            }
            Self::BnOnly => one(&[Part::Norms, Part::Head]),
            Self::BiasOnly => one(&[Part::Biases, Part::Head]),
            Self::L2Sp(strength) => {
                Ok(vec![PhaseSpec { l2_sp: Some(*strength), ..PhaseSpec::training(&name, &[Part::All]) }])
            }
            Self::Lora(_) if !parts.parameters.iter().any(|parameter| is_adapter(&parameter.name)) => {
                Err(StrategyError::NoSuchPart {
                    strategy: name,
                    part: Part::Adapters.to_string(),
                    model: parts.model.clone(),
                    rule: "adapters go to the linear layers of transformer blocks, which ViT, DeiT, DINOv2 and CLIP have"
                        .to_owned(),
                })
            }
            Self::Lora(_) => one(&[Part::Adapters, Part::Head]),
            Self::Probe(probe) => Ok(vec![PhaseSpec::fitting(*probe)]),
            Self::Own { phases, .. } => Ok(phases.clone()),
        }
    }

    /// Some stages of the trunk, and the head.
    fn stages(
        &self,
        parts: &Parts,
        k: usize,
        range: impl Fn(usize, usize) -> std::ops::Range<usize>,
    ) -> Result<Vec<Part>, StrategyError> {
        let trunk = parts.head();
        if k >= trunk {
            return Err(StrategyError::TooDeep {
                strategy: self.to_string(),
                model: parts.model.clone(),
                trunk,
                stages: parts.stages[..trunk].join(", "),
            });
        }
        Ok(range(trunk, k).map(|stage| stage_part(parts, stage)).chain([Part::Head]).collect())
    }

    /// An epoch for the head, one for each further stage, and what is left for all. Where epochs are fewer than stages,
    /// several stages thaw at once.
    fn thaw(&self, parts: &Parts, epochs: usize) -> Result<Vec<PhaseSpec>, StrategyError> {
        let trunk = parts.head();
        let steps = trunk.min(epochs.saturating_sub(1));
        if steps == 0 {
            let rule = "it needs at least 2: one for the head, and one for all".to_owned();
            return Err(StrategyError::Epochs { strategy: self.to_string(), epochs, rule });
        }
        let phases = (0..=steps).map(|step| {
            let thawed = trunk * step / steps;
            let stages = (trunk - thawed..trunk).map(|stage| stage_part(parts, stage));
            let list: Vec<Part> = stages.chain([Part::Head]).collect();
            let name = if thawed == 0 {
                "head".to_owned()
            } else {
                format!("from {}", parts.stages[trunk - thawed])
            };
            let phase = PhaseSpec::training(&name, &list);
            if step == steps { phase } else { phase.lasting(1) }
        });
        Ok(phases.collect())
    }
}

/// The upper half of the trunk, and the head.
fn last_stages(parts: &Parts) -> PhaseSpec {
    let trunk = parts.head();
    let stages = (trunk - trunk / 2..trunk).map(|stage| stage_part(parts, stage));
    PhaseSpec::training("last stages", &stages.chain([Part::Head]).collect::<Vec<_>>())
}

fn stage_part(parts: &Parts, stage: usize) -> Part {
    if stage == parts.head() { Part::Head } else { Part::Stage(parts.stages[stage].clone()) }
}
