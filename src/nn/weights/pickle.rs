//! A reader of the pickles inside PyTorch checkpoints. It builds plain data
//! and calls nothing: a global is only a name, and a `REDUCE` only a note that
//! something would have been called.
//!
//! Input is taken as hostile. Values live in one arena and refer to one
//! another by index, so no nesting overflows the stack and no memo, however
//! often fetched, is copied; every operation adds at most one value, so memory
//! is bounded by the length of the pickle.

/// Index of a value in the arena.
pub(super) type Ref = usize;

/// One unpickled value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes,
    /// `module name`, as pickled.
    Global(String),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Dict(Vec<(Ref, Ref)>),
    /// What a persistent id stands for (PyTorch's storages).
    Persistent(Ref),
    /// `callable(*args)`, not called.
    Reduced {
        callable: Ref,
        args: Ref,
    },
}

/// All values of one pickle.
#[derive(Debug)]
pub(super) struct Unpickled {
    values: Vec<Value>,
    pub root: Ref,
    /// Bytes read, up to and including STOP.
    pub length: usize,
}

impl Unpickled {
    pub fn get(&self, at: Ref) -> &Value {
        &self.values[at]
    }

    pub fn text(&self, at: Ref) -> Option<&str> {
        match self.get(at) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn int(&self, at: Ref) -> Option<i64> {
        match self.get(at) {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    pub fn tuple(&self, at: Ref) -> Option<&[Ref]> {
        match self.get(at) {
            Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub fn dict(&self, at: Ref) -> Option<&[(Ref, Ref)]> {
        match self.get(at) {
            Value::Dict(items) => Some(items),
            _ => None,
        }
    }

    /// The global a reduced value would call, and the arguments.
    pub fn call(&self, at: Ref) -> Option<(&str, &[Ref])> {
        let Value::Reduced { callable, args } = self.get(at) else {
            return None;
        };
        match self.get(*callable) {
            Value::Global(name) => Some((name, self.tuple(*args)?)),
            _ => None,
        }
    }
}

/// A ResNet-152 needs some ten thousand values.
const MAX_VALUES: usize = 1 << 21;
/// Bytes of a module's or a class's name.
const MAX_NAME: usize = 256;

/// Reads one pickle from the start of `bytes`.
///
/// # Errors
/// What was found, in words, at which byte.
pub(super) fn read(bytes: &[u8]) -> Result<Unpickled, String> {
    let mut machine = Machine {
        bytes,
        at: 0,
        values: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: std::collections::BTreeMap::new(),
    };
    machine
        .run()
        .map_err(|what| format!("pickle: {what} at byte {}", machine.at))?;
    let root = machine.stack.pop().ok_or("pickle: nothing in it")?;
    Ok(Unpickled {
        values: machine.values,
        root,
        length: machine.at,
    })
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Ref>,
    /// Heights of the stack at each open MARK.
    marks: Vec<usize>,
    memo: std::collections::BTreeMap<u32, Ref>,
}

type Step<T = ()> = Result<T, &'static str>;

impl<'a> Machine<'a> {
    fn run(&mut self) -> Step {
        loop {
            let counts = [
                self.values.len(),
                self.stack.len(),
                self.marks.len(),
                self.memo.len(),
            ];
            if counts.iter().any(|count| *count > MAX_VALUES) {
                return Err("more values than a checkpoint has");
            }
            match self.byte()? {
                b'.' => return Ok(()), // STOP
                op => self.step(op)?,
            }
        }
    }

    fn step(&mut self, op: u8) -> Step {
        match op {
            0x80 => self.byte().map(|_| ()),  // PROTO
            0x95 => self.take(8).map(|_| ()), // FRAME
            b'(' => {
                self.marks.push(self.stack.len()); // MARK
                Ok(())
            }
            b'0' => self.pop().map(|_| ()), // POP
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'K' => {
                let value = self.byte()?.into();
                self.push(Value::Int(value))
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?).into();
                self.push(Value::Int(value))
            }
            b'J' => {
                let value = i32::from_le_bytes(self.array()?).into();
                self.push(Value::Int(value))
            }
            0x8a => self.long(),
            b'G' => {
                let value = f64::from_be_bytes(self.array()?);
                self.push(Value::Float(value))
            }
            b'X' => {
                let length = u32::from_le_bytes(self.array()?) as usize;
                self.push_text(length)
            }
            0x8c | b'U' => {
                let length = self.byte()?.into(); // SHORT_BINUNICODE, SHORT_BINSTRING
                self.push_text(length)
            }
            b'C' => {
                let length = self.byte()?.into(); // SHORT_BINBYTES
                self.take(length)?;
                self.push(Value::Bytes)
            }
            b'c' => {
                let module = self.line()?;
                let name = self.line()?;
                self.global(module.to_owned(), name.to_owned())
            }
            0x93 => self.stack_global(),
            b')' => self.push(Value::Tuple(Vec::new())),
            0x85 => self.tuple_of(1),
            0x86 => self.tuple_of(2),
            0x87 => self.tuple_of(3),
            b't' => {
                let items = self.since_mark()?;
                self.push(Value::Tuple(items))
            }
            b']' => self.push(Value::List(Vec::new())),
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])
            }
            b'e' => {
                let items = self.since_mark()?;
                self.append(items)
            }
            b'}' => self.push(Value::Dict(Vec::new())),
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.insert(vec![key, value])
            }
            b'u' => {
                let items = self.since_mark()?;
                self.insert(items)
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Value::Persistent(id))
            }
            b'R' | 0x81 => self.reduce(),
            b'b' => self.pop().map(|_| ()), // BUILD: attributes are left aside
            b'q' => {
                let key = self.byte()?.into();
                self.remember(key)
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.remember(key)
            }
            0x94 => self.remember(self.memo.len() as u32), // MEMOIZE
            b'h' => {
                let key = self.byte()?.into();
                self.recall(key)
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)
            }
            _ => Err("an operation that checkpoints do not use"),
        }
    }

    fn take(&mut self, length: usize) -> Step<&'a [u8]> {
        let end = self.at.checked_add(length).ok_or("an impossible length")?;
        let taken = self.bytes.get(self.at..end).ok_or("the end of the data")?;
        self.at = end;
        Ok(taken)
    }

    fn byte(&mut self) -> Step<u8> {
        Ok(self.take(1)?[0])
    }

    fn array<const N: usize>(&mut self) -> Step<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("N bytes were taken"))
    }

    fn line(&mut self) -> Step<&'a str> {
        let rest = &self.bytes[self.at..];
        let length = rest
            .iter()
            .position(|b| *b == b'\n')
            .ok_or("an unfinished line")?;
        let line = self.take(length + 1)?;
        std::str::from_utf8(&line[..length]).map_err(|_| "a name that is not UTF-8")
    }

    fn push(&mut self, value: Value) -> Step {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
        Ok(())
    }

    fn push_text(&mut self, length: usize) -> Step {
        let bytes = self.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8")?;
        self.push(Value::Text(text.to_owned()))
    }

    /// Takes the top of the stack, but not from under an open MARK.
    fn pop(&mut self) -> Step<Ref> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err("an empty stack");
        }
        self.stack.pop().ok_or("an empty stack")
    }

    fn since_mark(&mut self) -> Step<Vec<Ref>> {
        let height = self.marks.pop().ok_or("a missing mark")?;
        Ok(self.stack.split_off(height))
    }

    fn top(&mut self) -> Step<&mut Value> {
        let top = *self.stack.last().ok_or("an empty stack")?;
        Ok(&mut self.values[top])
    }

    fn long(&mut self) -> Step {
        let length = self.byte()?.into();
        let bytes = self.take(length)?;
        // PyTorch's legacy magic number has ten bytes; its low eight will do.
        let mut wide = [if bytes.last().is_some_and(|b| b & 0x80 != 0) {
            0xff
        } else {
            0
        }; 8];
        for (w, b) in wide.iter_mut().zip(bytes) {
            *w = *b;
        }
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn stack_global(&mut self) -> Step {
        let (name, module) = (self.pop()?, self.pop()?);
        match (&self.values[module], &self.values[name]) {
            (Value::Text(module), Value::Text(name))
                if module.len().max(name.len()) <= MAX_NAME =>
            {
                let (module, name) = (module.clone(), name.clone());
                self.global(module, name)
            }
            _ => Err("a global without a name"),
        }
    }

    fn global(&mut self, module: String, name: String) -> Step {
        if module.len().max(name.len()) > MAX_NAME {
            return Err("a name too long");
        }
        self.push(Value::Global(format!("{module} {name}")))
    }

    fn tuple_of(&mut self, count: usize) -> Step {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn append(&mut self, mut items: Vec<Ref>) -> Step {
        match self.top()? {
            Value::List(list) => {
                list.append(&mut items);
                Ok(())
            }
            _ => Err("an item for something that is no list"),
        }
    }

    fn insert(&mut self, items: Vec<Ref>) -> Step {
        if !items.len().is_multiple_of(2) {
            return Err("a key without a value");
        }
        match self.top()? {
            Value::Dict(dict) => {
                dict.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1])));
                Ok(())
            }
            _ => Err("an entry for something that is no dictionary"),
        }
    }

    fn reduce(&mut self) -> Step {
        let (args, callable) = (self.pop()?, self.pop()?);
        let ordered = Value::Global("collections OrderedDict".into());
        if self.values[callable] == ordered {
            return self.push(Value::Dict(Vec::new()));
        }
        self.push(Value::Reduced { callable, args })
    }

    fn remember(&mut self, key: u32) -> Step {
        let top = *self.stack.last().ok_or("an empty stack")?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Step {
        let value = *self.memo.get(&key).ok_or("an unknown memo")?;
        self.stack.push(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pickled_dictionary_is_read_as_data() {
        // pickle.dumps({'a': (1, 2.5), 'b': None}, protocol=2)
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01G@\x04\x00\x00\x00\x00\x00\x00\x86q\x02X\x01\x00\x00\x00bq\x03Nu.";
        let data = read(bytes).unwrap();
        let dict = data.dict(data.root).unwrap();
        assert_eq!(data.text(dict[0].0), Some("a"));
        let pair = data.tuple(dict[0].1).unwrap();
        assert_eq!(data.int(pair[0]), Some(1));
        assert_eq!(*data.get(pair[1]), Value::Float(2.5));
        assert_eq!(data.length, bytes.len());
    }

    #[test]
    fn a_call_is_noted_and_not_made() {
        // What os.system('true') looks like when pickled.
        let data = read(b"cposix\nsystem\n(X\x04\x00\x00\x00truetR.").unwrap();
        let (name, args) = data.call(data.root).unwrap();
        assert_eq!((name, data.text(args[0])), ("posix system", Some("true")));
    }

    #[test]
    fn a_million_nested_tuples_do_not_overflow_the_stack() {
        let mut bytes = vec![b'N'];
        bytes.extend(std::iter::repeat_n(0x85, 1_000_000));
        bytes.push(b'.');
        assert!(read(&bytes).is_ok());
    }

    #[test]
    fn doubling_through_the_memo_takes_no_memory() {
        // Forty times (x, x): 2^40 values if they were copied.
        let mut bytes = vec![b'N'];
        for _ in 0..40 {
            bytes.extend(b"q\x00h\x00\x86");
        }
        bytes.push(b'.');
        assert!(read(&bytes).is_ok());
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_an_error_or_data_never_a_panic() {
        let bytes = b"\x80\x02}q\x00(X\x01\x00\x00\x00aq\x01K\x01K\x02\x86q\x02X\x01\x00\x00\x00bq\x03]q\x04(K\x01K\x02eu.";
        for cut in 0..bytes.len() {
            assert!(read(&bytes[..cut]).is_err());
        }
        for at in 0..bytes.len() {
            for value in 0..=255 {
                let mut changed = bytes.to_vec();
                changed[at] = value;
                let _ = read(&changed);
            }
        }
    }
}
