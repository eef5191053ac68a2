//! Criterion benches of Frostline: `cargo bench --package frostline-benches`. Each file below `benches/` measures one
//! thing: convolutions over a network's real shapes, whole training steps and inference, and the loader.
