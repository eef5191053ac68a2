//! How arms are compared: `baseline`, `margin`, `[halving]` and `[tune]`.

use super::GridAxis;
use super::problem::Problem;
use super::read::{Reader, entries_of, number};
use super::suggest::did_you_mean;
use super::tree::{Name, Node, Place, Value};
use crate::halving::Halving;
use crate::trial::keys::{Section, key, keys};

impl Reader {
    /// `baseline`: a strategy, or a table of keys and values like `when`.
    pub(crate) fn baseline(&mut self, node: Node) -> Option<Vec<(String, String)>> {
        let node = match node.value {
            Value::Table(_) => node,
            Value::Text(_) => {
                let name = Name { text: "strategy".to_owned(), place: node.place.clone() };
                let place = node.place.clone();
                Node { value: Value::Table(vec![(name, node)]), place }
            }
            _ => {
                let problem = Problem::new(format!("`baseline` must be a strategy, not {}", node.found()));
                let help = "for example baseline = \"head\", or baseline = { strategy = \"full\", weights = \"none\" }";
                self.report(problem.at(&node.place, "here").help(help));
                return None;
            }
        };
        match self.known.read(&node) {
            Ok(when) if when.conditions.iter().any(|condition| condition.key.name == "seed") => {
                let problem = Problem::new("`baseline` cannot name a seed").at(&node.place, "here");
                self.report(problem.help("arms are compared within each seed"));
                None
            }
            Ok(when) => {
                Some(when.conditions.into_iter().map(|one| (one.key.name.to_owned(), one.value)).collect())
            }
            Err(problems) => {
                problems.into_iter().for_each(|problem| self.report(problem));
                None
            }
        }
    }

    /// `margin`, in points of accuracy.
    pub(crate) fn margin(&mut self, node: &Node) -> Option<f64> {
        let margin = number(node).filter(|margin| *margin > 0.0 && *margin < 100.0);
        if margin.is_none() {
            let message = format!("`margin` must be a number above 0 and below 100, not {}", node.found());
            let help = "within so many points of accuracy two arms are as good as equal; 1 is the default";
            self.report(Problem::new(message).at(&node.place, "here").help(help));
        }
        margin
    }

    /// `[tune]`: keys of recipes, each with values to choose from.
    pub(crate) fn tune(&mut self, header: &Name, node: Node) -> Vec<GridAxis> {
        let mut axes = Vec::new();
        for (name, node) in self.table(entries_of(header, node)) {
            match key(&name.text) {
                Some(key) if key.can_be_tuned() => {
                    let (place, values) = (name.place.clone(), node.place.clone());
                    let Some(axis) = self.axis(key, place, node) else { continue };
                    if axis.values.len() < 2 {
                        let message = format!("`{}` needs at least two values to choose from", key.name);
                        let help = "add more, or write the one value in [train]";
                        self.report(Problem::new(message).at(&values, "here").help(help));
                    } else {
                        axes.push(axis);
                    }
                }
                Some(key) => {
                    let message = format!("`{}` cannot be tuned", key.name);
                    let help = match key.section {
                        Section::Train => {
                            "values are chosen by validation accuracy, whose meaning it sets; write it in [train]"
                        }
                        _ => {
                            "[tune] has keys of [train], as arms differ in the others; make it an axis of [grid]"
                        }
                    };
                    self.report(Problem::new(message).at(&name.place, "here").help(help));
                }
                None => {
                    let own = keys().iter().filter(|key| key.can_be_tuned());
                    self.unknown(&name, "[tune]", own.map(|key| key.name).collect(), None);
                }
            }
        }
        axes
    }

    /// `[halving]`: `first`, in epochs, `factor` and `asynchronous`.
    pub(crate) fn halving(&mut self, header: &Name, node: Node) -> Option<(Halving, Place)> {
        const KEYS: [&str; 3] = ["first", "factor", "asynchronous"];
        let place = node.place.clone();
        let (mut halving, mut whole) = (Halving { first: 1, factor: 2, asynchronous: false }, true);
        for (name, node) in self.table(entries_of(header, node)) {
            let (least, field) = match name.text.as_str() {
                "first" => (1.0, &mut halving.first),
                "factor" => (2.0, &mut halving.factor),
                "asynchronous" => {
                    match node.value {
                        Value::Flag(value) => halving.asynchronous = value,
                        _ => {
                            let message =
                                format!("`asynchronous` must be true or false, not {}", node.found());
                            let help = "with true, arms go on before all others have come as far";
                            self.report(Problem::new(message).at(&node.place, "here").help(help));
                            whole = false;
                        }
                    }
                    continue;
                }
                other => {
                    let problem =
                        Problem::new(format!("unknown key `{other}` in [halving]")).at(&name.place, "here");
                    self.report(problem.help(did_you_mean(
                        other,
                        KEYS,
                        "it has first, factor and asynchronous",
                    )));
                    whole = false;
                    continue;
                }
            };
            match number(&node).filter(|number| number.fract() == 0.0 && (least..=1e6).contains(number)) {
                Some(number) => *field = number as usize,
                None => {
                    let key = &name.text;
                    let message =
                        format!("`{key}` must be a whole number from {least}, not {}", node.found());
                    let help = "arms are compared after `first` epochs, then after `factor` times as many each; one in `factor` goes on";
                    self.report(Problem::new(message).at(&node.place, "here").help(help));
                    whole = false;
                }
            }
        }
        whole.then_some((halving, place))
    }
}
