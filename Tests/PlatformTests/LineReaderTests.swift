import Glibc
import Testing

@testable import Platform

@Suite("Reading lines")
struct LineReaderTests {
    /// A pipe whose ends are closed with it.
    final class Pipe {
        let ends: [Int32]
        private var writing = true

        init() throws {
            var ends: [Int32] = [0, 0]
            try #require(Glibc.pipe(&ends) == 0)
            self.ends = ends
        }

        deinit {
            close(ends[0])
            finish()
        }

        func send(_ text: String) throws {
            let bytes = Array(text.utf8)
            try #require(write(ends[1], bytes, bytes.count) == bytes.count)
        }

        func finish() {
            if writing { close(ends[1]) }
            writing = false
        }
    }

    let pipe: Pipe
    let reader: LineReader

    init() throws {
        pipe = try Pipe()
        reader = LineReader(raw: pipe.ends[0], limit: 8)
    }

    @Test("Lines come one by one, and the last one needs no newline")
    func lines() throws {
        try pipe.send("one\n\ntwo")
        pipe.finish()
        #expect(try reader.next(milliseconds: -1) == .line("one"))
        #expect(try reader.next(milliseconds: -1) == .line(""))
        #expect(try reader.next(milliseconds: -1) == .line("two"))
        #expect(try reader.next(milliseconds: -1) == .end)
        #expect(try reader.next(milliseconds: -1) == .end)
    }

    @Test("A line of the limit is read, one byte more is too long, and the next line is whole")
    func limit() throws {
        try pipe.send("12345678\n123456789\nnext\n")
        #expect(try reader.next(milliseconds: -1) == .line("12345678"))
        #expect(try reader.next(milliseconds: -1) == .tooLong)
        #expect(try reader.next(milliseconds: -1) == .line("next"))
    }

    @Test("The rest of a line that is too long is thrown away although time ran out in between")
    func limitAcrossTimeOut() throws {
        try pipe.send("1234567890")
        #expect(try reader.next(milliseconds: 0) == .timedOut)
        try pipe.send("tail\nnext\n")
        #expect(try reader.next(milliseconds: -1) == .tooLong)
        #expect(try reader.next(milliseconds: -1) == .line("next"))
    }

    @Test("A last line that is too long is told as such, and then the end")
    func limitAtEnd() throws {
        try pipe.send(String(repeating: "x", count: 20_000))
        pipe.finish()
        #expect(try reader.next(milliseconds: -1) == .tooLong)
        #expect(try reader.next(milliseconds: -1) == .end)
    }

    @Test("Without a whole line time runs out, and what came is kept")
    func timeOut() throws {
        #expect(try reader.next(milliseconds: 0) == .timedOut)
        try pipe.send("par")
        #expect(try reader.next(milliseconds: 0) == .timedOut)
        try pipe.send("t\n")
        #expect(try reader.next(milliseconds: 0) == .line("part"))
    }
}
