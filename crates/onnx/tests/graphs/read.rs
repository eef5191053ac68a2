//! ONNX files read back, as far as tests ask: [`Read`].

use std::collections::BTreeMap;

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) ir: u64,
    pub(crate) opset: u64,
    pub(crate) producer: String,
    pub(crate) notes: BTreeMap<String, String>,
    pub(crate) nodes: Vec<Node>,
    /// Sizes, and bytes of numbers, by name.
    pub(crate) tensors: BTreeMap<String, (Vec<u64>, usize)>,
    /// Names and axes; an axis is a size or a name.
    pub(crate) inputs: Vec<(String, Vec<String>)>,
    pub(crate) outputs: Vec<(String, Vec<String>)>,
}

/// A node.
#[derive(Debug, Default)]
pub(crate) struct Node {
    pub(crate) operator: String,
    pub(crate) inputs: Vec<String>,
    pub(crate) outputs: Vec<String>,
}

/// A field's content.
enum Content<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Content<'_>)> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let length = match tag & 7 {
            0 => {
                fields.push((tag >> 3, Content::Number(varint(&mut bytes))));
                continue;
            }
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (content, rest) = bytes.split_at(length);
        fields.push((tag >> 3, Content::Bytes(content)));
        bytes = rest;
    }
    fields
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

impl Content<'_> {
    fn number(&self) -> u64 {
        match self {
            Content::Number(number) => *number,
            Content::Bytes(_) => panic!("bytes"),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Content::Bytes(bytes) => bytes,
            Content::Number(_) => panic!("a number"),
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.bytes().to_vec()).unwrap()
    }
}

/// Reads a file.
pub(crate) fn read(bytes: &[u8]) -> Read {
    let mut read = Read::default();
    for (field, content) in fields(bytes) {
        match field {
            1 => read.ir = content.number(),
            2 => read.producer = content.text(),
            7 => graph(&mut read, content.bytes()),
            8 => {
                read.opset = fields(content.bytes()).iter().find(|(field, _)| *field == 2).unwrap().1.number()
            }
            14 => {
                let pair: Vec<String> = fields(content.bytes()).iter().map(|(_, part)| part.text()).collect();
                read.notes.insert(pair[0].clone(), pair[1].clone());
            }
            _ => {}
        }
    }
    read
}

fn graph(read: &mut Read, bytes: &[u8]) {
    for (field, content) in fields(bytes) {
        match field {
            1 => {
                let mut node = Node::default();
                for (field, content) in fields(content.bytes()) {
                    match field {
                        1 => node.inputs.push(content.text()),
                        2 => node.outputs.push(content.text()),
                        4 => node.operator = content.text(),
                        _ => {}
                    }
                }
                read.nodes.push(node);
            }
            5 => {
                let (mut sizes, mut name, mut length) = (Vec::new(), String::new(), 0);
                for (field, content) in fields(content.bytes()) {
                    match field {
                        1 => sizes.push(content.number()),
                        8 => name = content.text(),
                        9 => length = content.bytes().len(),
                        _ => {}
                    }
                }
                assert!(read.tensors.insert(name, (sizes, length)).is_none(), "twice");
            }
            11 => read.inputs.push(value(content.bytes())),
            12 => read.outputs.push(value(content.bytes())),
            _ => {}
        }
    }
}

/// The name and the axes of an input or an output.
fn value(bytes: &[u8]) -> (String, Vec<String>) {
    let within = |bytes: &[u8], wanted: u64| -> Vec<u8> {
        fields(bytes).iter().find(|(field, _)| *field == wanted).unwrap().1.bytes().to_vec()
    };
    let shape = within(&within(&within(bytes, 2), 1), 2);
    let axis = |content: &Content<'_>| match &fields(content.bytes())[0] {
        (1, size) => size.number().to_string(),
        (_, name) => name.text(),
    };
    let axes = fields(&shape).iter().map(|(_, content)| axis(content)).collect();
    (String::from_utf8(within(bytes, 1)).unwrap(), axes)
}
