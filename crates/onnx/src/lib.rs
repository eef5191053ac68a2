//! Models as ONNX graphs: [`model`] writes a zoo's description and the numbers of a file of weights as one file that onnxruntime and
//! its like run. It is the inference form: no dropout, running statistics, no auxiliary heads, and the normalisation of images in front.
//!
//! What goes in is [`INPUT`], `[N, 3, H, W]` in f32: RGB in [0, 1], already of the model's resolution. What comes out is [`OUTPUT`],
//! `[N, classes]`. The batch is free, height and width are not. Weights that are used as they lie in the safetensors file keep their
//! names. This crate opens no file and runs nothing.

mod attention;
mod error;
mod graph;
mod layers;
mod modern;
mod pool;
mod proto;
mod windows;

use frostline_zoo::lay_out;
use frostline_zoo::{ModelCard, Normalisation};

pub use error::OnnxError;
use graph::{Graph, Shape, Value};
use proto::Message;

/// The name of the images.
pub const INPUT: &str = "image";
/// The name of the logits.
pub const OUTPUT: &str = "logits";
/// The version of ONNX's operators: the first that has layer norms.
pub const OPSET: i64 = 17;

/// The version of the file format that came with these operators.
const IR: i64 = 8;
/// The name of the free axis.
const BATCH: &str = "batch";
/// The longest file that protocol buffers allow, in bytes.
const LONGEST: usize = i32::MAX as usize;

/// What is written.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// The model.
    pub card: &'static ModelCard,
    /// The classes in the order of the logits.
    pub classes: usize,
    /// Height and width of the images, in pixels.
    pub resolution: (usize, usize),
    /// How images are normalised, which the graph does.
    pub normalisation: Normalisation,
    /// Keys and values for the file's metadata.
    pub notes: &'a [(String, String)],
    /// The version of the program that writes it.
    pub version: &'a str,
}

/// The bytes of an ONNX file. `numbers` gives a tensor of the state dict by its name, in torchvision's order.
///
/// # Errors
/// [`OnnxError`]: the model does not take images of this size; a tensor is missing, or has another size; the file would be too long.
pub fn model(
    subject: &Subject<'_>,
    numbers: &dyn Fn(&str) -> Option<Vec<f32>>,
) -> Result<Vec<u8>, OnnxError> {
    let (height, width) = subject.resolution;
    let (architecture, _) = lay_out(subject.card, subject.classes, height, width)?;
    let mut graph = Graph::new(&architecture, numbers);
    graph.scope("normalise");
    let image = Value { name: INPUT.to_owned(), shape: Shape::Map { height, width, channels: 3 } };
    let mut x = normalised(&mut graph, image, subject.normalisation);
    for stage in &architecture.stages {
        graph.scope(stage.name);
        x = graph.layers(&stage.layers, x)?;
    }
    if x.shape != (Shape::Rows { channels: subject.classes }) {
        return Err(OnnxError::Unfit { layer: "the output".to_owned(), found: x.shape.to_string() });
    }
    graph.identity(&x, OUTPUT);
    whole(subject, graph)
}

fn normalised(graph: &mut Graph<'_>, image: Value, normalisation: Normalisation) -> Value {
    let by_channel = |values: [f32; 3]| (vec![3, 1, 1], values.to_vec());
    let (mean, std) = (by_channel(normalisation.mean), by_channel(normalisation.std));
    let mean = graph.constant("normalise/mean", mean.0, &mean.1);
    let std = graph.constant("normalise/std", std.0, &std.1);
    let centred = graph.node("Sub", &[&image.name, &mean], &[]);
    Value { name: graph.node("Div", &[&centred, &std], &[]), shape: image.shape }
}

/// The file around a graph.
fn whole(subject: &Subject<'_>, graph: Graph<'_>) -> Result<Vec<u8>, OnnxError> {
    let (height, width) = subject.resolution;
    let (nodes, tensors) = graph.finish();
    let mut ends = Message::default();
    ends.text(2, subject.card.name);
    ends.message(11, &value_info(INPUT, &[3, height, width]));
    ends.message(12, &value_info(OUTPUT, &[subject.classes]));
    let field = |field: u32, content: &Message| {
        let mut message = Message::default();
        message.message(field, content);
        message
    };
    let nodes: Vec<Message> = nodes.iter().map(|node| field(1, node)).collect();
    let parts = || nodes.iter().chain(&tensors).chain([&ends]);
    let length: usize = parts().map(Message::len).sum();

    let mut file = Message::default();
    file.int(1, IR);
    file.text(2, "frostline");
    file.text(3, subject.version);
    let mut opset = Message::default();
    opset.text(1, "");
    opset.int(2, OPSET);
    file.message(8, &opset);
    for (key, value) in subject.notes {
        let mut entry = Message::default();
        entry.text(1, key);
        entry.text(2, value);
        file.message(14, &entry);
    }
    if file.len() + length > LONGEST - 64 {
        return Err(OnnxError::TooLong { title: subject.card.title, length: file.len() + length });
    }
    file.begin(7, length);
    parts().for_each(|part| file.append(part));
    Ok(file.into_bytes())
}

/// A tensor of f32 whose first axis is free.
fn value_info(name: &str, sizes: &[usize]) -> Message {
    let mut shape = Message::default();
    let mut batch = Message::default();
    batch.text(2, BATCH);
    shape.message(1, &batch);
    for size in sizes {
        let mut fixed = Message::default();
        fixed.int(1, *size as i64);
        shape.message(1, &fixed);
    }
    let mut tensor = Message::default();
    tensor.int(1, graph::FLOAT);
    tensor.message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut info = Message::default();
    info.text(1, name);
    info.message(2, &kind);
    info
}
