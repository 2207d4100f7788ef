import Platform
import Testing

@Suite("Errors and randomness")
struct ErrorAndRandomTests {
    @Test(
        "Error numbers have stable codes",
        arguments: [
            (2, "storage.not-found"), (1, "storage.permission"), (13, "storage.permission"), (16, "storage.busy"),
            (28, "storage.no-space"), (122, "storage.no-space"), (30, "storage.read-only"), (5, "storage.io"),
            (99, "storage.system"),
        ] as [(Int32, String)])
    func codes(number: Int32, code: String) {
        let error = SystemError(number: number, operation: "open", subject: "/x")
        #expect(error.code == code)
        #expect(error.category == .storage)
        #expect(!error.remedy.isEmpty)
    }

    @Test("A failure says the same in one line")
    func failure() {
        let failure = Failure(SystemError(number: 2, operation: "open", subject: "/x"))
        #expect(
            failure.line
                == "storage.not-found: open of /x failed: No such file or directory. Check that the path exists")
    }

    @Test("A UUID has the form of version 4 and is another one each time")
    func uuid() throws {
        let random = SystemRandom()
        let text = try randomUUID(from: random)
        #expect(text.wholeMatch(of: /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}/) != nil)
        #expect(try randomUUID(from: random) != text)
    }
}
