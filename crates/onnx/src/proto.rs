//! Protocol buffers as far as ONNX needs them: [`Message`] appends fields. It knows no message of ONNX.

/// The fields of a message that were written so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Message(Vec<u8>);

/// How a field's content is laid out.
#[derive(Clone, Copy)]
enum Wire {
    Varint = 0,
    Delimited = 2,
    Fixed32 = 5,
}

impl Message {
    /// In bytes.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    pub(crate) fn int(&mut self, field: u32, value: i64) {
        self.tag(field, Wire::Varint);
        self.varint(value as u64);
    }

    pub(crate) fn float(&mut self, field: u32, value: f32) {
        self.tag(field, Wire::Fixed32);
        self.0.extend(value.to_le_bytes());
    }

    pub(crate) fn text(&mut self, field: u32, value: &str) {
        self.begin(field, value.len());
        self.0.extend_from_slice(value.as_bytes());
    }

    pub(crate) fn message(&mut self, field: u32, content: &Message) {
        self.begin(field, content.len());
        self.append(content);
    }

    /// Numbers, little-endian.
    pub(crate) fn floats(&mut self, field: u32, values: &[f32]) {
        self.begin(field, 4 * values.len());
        let start = self.0.len();
        self.0.resize(start + 4 * values.len(), 0);
        let places = self.0[start..].chunks_exact_mut(4);
        places.zip(values).for_each(|(place, value)| place.copy_from_slice(&value.to_le_bytes()));
    }

    /// Numbers, little-endian.
    pub(crate) fn longs(&mut self, field: u32, values: &[i64]) {
        self.begin(field, 8 * values.len());
        values.iter().for_each(|value| self.0.extend(value.to_le_bytes()));
    }

    /// Begins a field of so many bytes, which are appended next.
    pub(crate) fn begin(&mut self, field: u32, length: usize) {
        self.tag(field, Wire::Delimited);
        self.varint(length as u64);
        self.0.reserve(length);
    }

    /// Further fields.
    pub(crate) fn append(&mut self, fields: &Message) {
        self.0.extend_from_slice(&fields.0);
    }

    fn tag(&mut self, field: u32, wire: Wire) {
        self.varint(u64::from(field << 3 | wire as u32));
    }

    /// Seven bits a byte, the lowest first.
    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of protobuf.dev/programming-guides/encoding, and a field beyond 15, whose tag takes two bytes.
    #[test]
    fn fields_are_laid_out_as_the_manual_has_them() {
        let mut inner = Message::default();
        inner.int(1, 150);
        assert_eq!(inner.0, [0x08, 0x96, 0x01]);
        let mut outer = Message::default();
        outer.message(3, &inner);
        outer.text(2, "testing");
        assert_eq!(outer.0[..5], [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(outer.0[5..], [0x12, 0x07, 0x74, 0x65, 0x73, 0x74, 0x69, 0x6e, 0x67]);
        let mut other = Message::default();
        other.int(20, -1);
        assert_eq!(other.0[..2], [0xa0, 0x01]);
        assert_eq!(other.0[2..], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
        let mut raw = Message::default();
        raw.float(2, 1.0);
        raw.floats(9, &[-2.0]);
        assert_eq!(raw.0, [0x15, 0, 0, 0x80, 0x3f, 0x4a, 4, 0, 0, 0, 0xc0]);
    }
}
