//! Names that other libraries give to a model's tensors. A family lists them beside torchvision's, module by module, and
//! [`Architecture::in_torchvisions_names`] reads a file by them. Numbers are not touched: only names and shapes differ.

use super::Architecture;

impl Architecture {
    /// Names and shapes of a file's tensors as torchvision has them, in the file's order. A name that torchvision does not
    /// know either, or that would be there twice, stays.
    pub fn in_torchvisions_names(&self, found: &[(&str, &[usize])]) -> Vec<(String, Vec<usize>)> {
        let has = |name: &str| found.iter().any(|(other, _)| *other == name);
        let one = |&(name, shape): &(&str, &[usize])| {
            let known = self.torchvisions_name(name).filter(|known| !has(known));
            match known {
                Some(known) => {
                    let shape = self.torchvisions_shape(&known, shape);
                    (known, shape)
                }
                None => (name.to_owned(), shape.to_vec()),
            }
        };
        found.iter().map(one).collect()
    }

    /// torchvision's name of a tensor whose module is listed under another.
    fn torchvisions_name(&self, name: &str) -> Option<String> {
        let (module, part) = name.rsplit_once('.')?;
        let (ours, _) = self.other_names.iter().find(|(_, other)| *other == module)?;
        Some(format!("{ours}.{part}"))
    }

    /// A convolution as large as its map is a linear layer, whose weights lie in the same order.
    fn torchvisions_shape(&self, name: &str, shape: &[usize]) -> Vec<usize> {
        let parameter = self.parameters.iter().find(|parameter| parameter.name == name);
        match (parameter.map(|parameter| parameter.shape.as_slice()), shape) {
            (Some(&[_, from]), &[outputs, channels, height, width]) if channels * height * width == from => {
                vec![outputs, from]
            }
            _ => shape.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use frostline_text::sha256;

    use crate::description::Architecture;
    use crate::{card, zoo};

    /// A line for each tensor of a state dict, as the fixture's script writes them.
    fn shapes(architecture: &Architecture) -> String {
        let line = |name: &str, shape: &[usize]| format!("{name} {shape:?}\n");
        let parameters = architecture.parameters.iter().map(|one| line(&one.name, &one.shape));
        let norms = architecture.norms.iter().flat_map(|norm| {
            let channels = [norm.channels];
            [("running_mean", &channels[..]), ("running_var", &channels), ("num_batches_tracked", &[])]
                .map(|(part, shape)| line(&format!("{}.{part}", norm.name), shape))
        });
        let mut lines: Vec<String> = parameters.chain(norms).collect();
        lines.sort();
        lines.concat()
    }

    #[test]
    fn every_state_dict_of_torchvision_and_timm_fits() {
        let expected: BTreeMap<String, String> =
            serde_json::from_str(include_str!("../../tests/fixtures/state_dicts.json")).unwrap();
        assert_eq!(expected.len(), zoo().len());
        for card in zoo() {
            let found = sha256(shapes(&card.without_auxiliary(1000)).as_bytes());
            assert_eq!(found, expected[card.name], "{}", card.name);
        }
    }

    #[test]
    fn timms_classifier_is_torchvisions() {
        let architecture = (card("vgg11").unwrap().architecture)(10);
        let found: [(&str, &[usize]); 5] = [
            ("features.0.weight", &[64, 3, 3, 3]),
            ("pre_logits.fc1.weight", &[4096, 512, 7, 7]),
            ("pre_logits.fc2.bias", &[4096]),
            ("head.fc.weight", &[1000, 4096]),
            ("pre_logits.fc2.weight", &[4096, 4096, 3, 3]),
        ];
        let expected: [(&str, &[usize]); 5] = [
            ("features.0.weight", &[64, 3, 3, 3]),
            ("classifier.0.weight", &[4096, 25_088]),
            ("classifier.3.bias", &[4096]),
            ("classifier.6.weight", &[1000, 4096]),
            ("classifier.3.weight", &[4096, 4096, 3, 3]),
        ];
        let read = architecture.in_torchvisions_names(&found);
        for ((name, shape), expected) in read.iter().zip(expected) {
            assert_eq!((name.as_str(), shape.as_slice()), expected);
        }
    }

    #[test]
    fn a_tensor_under_both_names_stays_unexpected() {
        let architecture = (card("vgg11").unwrap().architecture)(10);
        let found: [(&str, &[usize]); 2] = [("head.fc.bias", &[10]), ("classifier.6.bias", &[10])];
        assert_eq!(architecture.in_torchvisions_names(&found)[0].0, "head.fc.bias");
    }
}
