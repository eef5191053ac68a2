//! The gates that every operation passes: a naive oracle in double precision, finite differences, equality with the
//! composed path, the same bits for 1, 2 and 3 threads, property tests over shapes, and PyTorch's numbers. `just device-check` runs them
//! on another device (`benches/device`), by the lists of gates in each file.

mod concatenation;
mod conv_norm;
mod convolution;
mod golden;
mod harness;
mod layers;
mod layout;
mod modern;
mod normalisation;
mod optimizers;
mod oracle;
mod pooling;
mod refusals;
mod session;
mod transformers;
mod windows;

/// What is a test is in its file's list too.
#[test]
fn every_gate_is_listed() {
    let lists = [
        ("concatenation", concatenation::GATES),
        ("conv_norm", conv_norm::GATES),
        ("convolution", convolution::GATES),
        ("golden", golden::GATES),
        ("layers", layers::GATES),
        ("layout", layout::GATES),
        ("modern", modern::GATES),
        ("normalisation", normalisation::GATES),
        ("optimizers", optimizers::GATES),
        ("pooling", pooling::GATES),
        ("refusals", refusals::GATES),
        ("transformers", transformers::GATES),
        ("windows", windows::GATES),
    ];
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gates");
    for (file, gates) in lists {
        let text = std::fs::read_to_string(folder.join(file).with_extension("rs")).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let mut tests = 0;
        for pair in lines.windows(2).filter(|pair| pair[0] == "#[cfg_attr(test, test)]") {
            let name = pair[1].trim_start_matches("fn ").split('(').next().unwrap().replace('_', " ");
            assert!(gates.iter().any(|(gate, _)| *gate == name), "{file}: {name} is in no list");
            tests += 1;
        }
        assert_eq!(tests, gates.len(), "{file}");
    }
}
