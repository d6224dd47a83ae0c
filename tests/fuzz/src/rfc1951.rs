//! A reader of compressed messages, written from RFC 1951 and RFC 7692 and from nothing else. It is
//! slow, keeps every byte of the past that a message may refer to, and each step names its section.

/// The largest distance (RFC 1951 section 3.2.5).
const LARGEST: usize = 32_768;
/// The end that a sender leaves out (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// The compressed messages of one end.
pub(crate) struct Inflate {
    window: usize,
    keeps_context: bool,
    /// The end of the messages so far.
    past: Vec<u8>,
}

/// A message, and what is special about its stream.
#[derive(Debug, Default)]
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    /// The number of last blocks after which there are more.
    pub(crate) last_blocks: usize,
    /// Whether a distance is larger than the window, although there are so many bytes.
    pub(crate) is_beyond_window: bool,
    /// Whether the bytes that the sender has left out are more than the empty block that they have
    /// to be (RFC 7692 section 7.2.1): the end of a last block, or a part of the message.
    pub(crate) uses_tail: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// More bytes than the limit.
    TooLong,
    /// The bytes end within a block.
    Unfinished,
    /// The bytes are not DEFLATE.
    Damaged(&'static str),
}

type Result<T> = std::result::Result<T, Broken>;

impl Inflate {
    pub(crate) fn new(window_bits: u8, keeps_context: bool) -> Self {
        Self { window: 1 << window_bits, keeps_context, past: Vec::new() }
    }

    /// Returns the message with this payload, if it has at most `limit` bytes.
    pub(crate) fn message(&mut self, payload: &[u8], limit: usize) -> Result<Message> {
        let mut message = Message::default();
        // RFC 7692 section 7.2.3.6 makes one byte of a message without bytes. wsx reads none, too.
        if !payload.is_empty() {
            let mut bits = Bits { bytes: [payload, &TAIL].concat(), at: 0 };
            let end = payload.len() * 8;
            let mut output = Output { past: &self.past, window: self.window, limit, end, message: &mut message };
            blocks(&mut bits, payload.len(), &mut output)?;
        }
        if self.keeps_context {
            self.past.extend_from_slice(&message.bytes);
            self.past.drain(..self.past.len().saturating_sub(self.window));
        }
        Ok(message)
    }
}

/// RFC 7692 section 7.2.2: inflates the payload with its tail.
fn blocks(bits: &mut Bits, payload: usize, output: &mut Output<'_>) -> Result<()> {
    let all = bits.bytes.len() * 8;
    while bits.at < all {
        let is_last = bits.take(1)? == 1;
        match bits.take(2)? {
            0 => stored(bits, output)?,
            1 => {
                let (literals, distances) = fixed();
                compressed(bits, &literals, &distances, output)?;
            }
            2 => {
                let (literals, distances) = dynamic(bits)?;
                compressed(bits, &literals, &distances, output)?;
            }
            _ => return Err(Broken::Damaged("the reserved kind of block")),
        }
        if is_last {
            // RFC 7692 section 7.2.3.4: another stream follows, from the next byte on.
            bits.at = bits.at.next_multiple_of(8);
            // The byte 0 that has to follow may be missing.
            if bits.at == payload * 8 {
                return Ok(());
            }
            output.message.last_blocks += 1;
            output.message.uses_tail |= bits.at == all;
        }
    }
    Ok(())
}

/// RFC 1951 section 3.2.4.
fn stored(bits: &mut Bits, output: &mut Output<'_>) -> Result<()> {
    bits.at = bits.at.next_multiple_of(8);
    let (length, complement) = (bits.take(16)?, bits.take(16)?);
    if length != !complement & 0xffff {
        return Err(Broken::Damaged("the lengths of a stored block differ"));
    }
    for _ in 0..length {
        let byte = bits.take(8)?;
        output.note(bits);
        output.push(byte as u8)?;
    }
    Ok(())
}

/// RFC 1951 section 3.2.3: symbols up to the end of the block.
fn compressed(bits: &mut Bits, literals: &Code, distances: &Code, output: &mut Output<'_>) -> Result<()> {
    loop {
        match literals.symbol(bits)? {
            literal @ 0..256 => {
                output.note(bits);
                output.push(literal as u8)?;
            }
            256 => return Ok(()),
            symbol => {
                let length = length(symbol, bits)?;
                let distance = distance(distances.symbol(bits)?, bits)?;
                output.note(bits);
                output.copy(length, distance)?;
            }
        }
    }
}

/// RFC 1951 section 3.2.5: four symbols for each number of extra bits.
fn length(symbol: usize, bits: &mut Bits) -> Result<usize> {
    Ok(match symbol {
        257..=264 => symbol - 254,
        265..=284 => {
            let extra = (symbol - 261) / 4;
            3 + ((4 + (symbol - 261) % 4) << extra) + bits.take(extra)?
        }
        285 => 258,
        _ => return Err(Broken::Damaged("a length that is not used")),
    })
}

/// RFC 1951 section 3.2.5: two symbols for each number of extra bits.
fn distance(symbol: usize, bits: &mut Bits) -> Result<usize> {
    Ok(match symbol {
        0..=3 => symbol + 1,
        4..=29 => {
            let extra = symbol / 2 - 1;
            1 + ((2 + symbol % 2) << extra) + bits.take(extra)?
        }
        _ => return Err(Broken::Damaged("a distance that is not used")),
    })
}

/// RFC 1951 section 3.2.6.
fn fixed() -> (Code, Code) {
    let literals = [vec![8; 144], vec![9; 112], vec![7; 24], vec![8; 8]].concat();
    (Code::new(&literals).expect("the code is complete"), Code::new(&[5; 32]).expect("the code is complete"))
}

/// RFC 1951 section 3.2.7.
fn dynamic(bits: &mut Bits) -> Result<(Code, Code)> {
    let (literals, distances, lengths) = (bits.take(5)? + 257, bits.take(5)? + 1, bits.take(4)? + 4);
    if literals > 286 || distances > 30 {
        return Err(Broken::Damaged("more symbols than there are"));
    }
    let mut of_lengths = [0; 19];
    for symbol in [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15].into_iter().take(lengths) {
        of_lengths[symbol] = bits.take(3)? as u8;
    }
    let of_lengths = Code::new(&of_lengths)?;
    if !of_lengths.is_complete {
        return Err(Broken::Damaged("the code of the lengths is not complete"));
    }
    let mut all = Vec::new();
    while all.len() < literals + distances {
        let (length, times) = match of_lengths.symbol(bits)? {
            16 => {
                let last = all.last().copied().ok_or(Broken::Damaged("there is no length to repeat"))?;
                (last, 3 + bits.take(2)?)
            }
            17 => (0, 3 + bits.take(3)?),
            18 => (0, 11 + bits.take(7)?),
            length => (length as u8, 1),
        };
        all.extend(std::iter::repeat_n(length, times));
    }
    if all.len() > literals + distances {
        return Err(Broken::Damaged("more lengths than symbols"));
    }
    let (literals, distances) = all.split_at(literals);
    if literals[256] == 0 {
        return Err(Broken::Damaged("a block cannot end"));
    }
    let codes = (Code::new(literals)?, Code::new(distances)?);
    // Only a code of one symbol, with one bit, need not be complete, and a code of no symbol. RFC
    // 1951 says so of distances, and zlib also lets literals have one symbol.
    for code in [&codes.0, &codes.1] {
        if !code.is_complete && code.longest > 1 {
            return Err(Broken::Damaged("a code is not complete"));
        }
    }
    Ok(codes)
}

/// A Huffman code (RFC 1951 section 3.2.2).
struct Code {
    /// The number of symbols of each length.
    counts: [usize; 16],
    /// The symbols by their code.
    symbols: Vec<usize>,
    is_complete: bool,
    longest: usize,
}

impl Code {
    fn new(lengths: &[u8]) -> Result<Self> {
        let mut counts = [0; 16];
        lengths.iter().filter(|length| **length > 0).for_each(|length| counts[usize::from(*length)] += 1);
        let mut symbols: Vec<_> = (0..lengths.len()).filter(|symbol| lengths[*symbol] > 0).collect();
        symbols.sort_by_key(|symbol| (lengths[*symbol], *symbol));
        // The part of all codes that the symbols use, in units of the longest one.
        let used: usize = (1..16).map(|length| counts[length] << (15 - length)).sum();
        if used > 1 << 15 {
            return Err(Broken::Damaged("a code has too many symbols"));
        }
        let longest = (1..16).rev().find(|length| counts[*length] > 0).unwrap_or(0);
        Ok(Self { counts, symbols, is_complete: used == 1 << 15, longest })
    }

    fn symbol(&self, bits: &mut Bits) -> Result<usize> {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1)?;
            if code < first + count {
                return Ok(self.symbols[index + code - first]);
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        Err(Broken::Damaged("a code without a symbol"))
    }
}

/// The bits of a message, from the lowest of each byte on (RFC 1951 section 3.1.1).
struct Bits {
    bytes: Vec<u8>,
    at: usize,
}

impl Bits {
    fn take(&mut self, count: usize) -> Result<usize> {
        let mut value = 0;
        for bit in 0..count {
            let byte = self.bytes.get(self.at / 8).ok_or(Broken::Unfinished)?;
            value |= usize::from(byte >> (self.at % 8) & 1) << bit;
            self.at += 1;
        }
        Ok(value)
    }
}

struct Output<'o> {
    past: &'o [u8],
    window: usize,
    limit: usize,
    /// The bits of the payload.
    end: usize,
    message: &'o mut Message,
}

impl Output<'_> {
    /// Notes whether the next bytes come from these bits beyond the payload.
    fn note(&mut self, bits: &Bits) {
        self.message.uses_tail |= bits.at > self.end;
    }

    fn push(&mut self, byte: u8) -> Result<()> {
        if self.message.bytes.len() == self.limit {
            return Err(Broken::TooLong);
        }
        self.message.bytes.push(byte);
        Ok(())
    }

    /// RFC 1951 section 2: a copy may overlap itself. RFC 7692 section 7.2.3.2: it may begin in an
    /// earlier message.
    fn copy(&mut self, length: usize, distance: usize) -> Result<()> {
        self.message.is_beyond_window |= distance > self.window;
        for _ in 0..length {
            let bytes = &self.message.bytes;
            let byte = match bytes.len().checked_sub(distance) {
                Some(at) => bytes[at],
                None => {
                    let before = distance - bytes.len();
                    let at = self.past.len().checked_sub(before);
                    self.past[at.ok_or(Broken::Damaged("a distance to before the first byte"))?]
                }
            };
            self.push(byte)?;
        }
        debug_assert!(distance <= LARGEST);
        Ok(())
    }
}
