import Platform
import Testing

@Suite("Hex and Base64")
struct TextCodingTests {
    @Test(
        "Base64 writes and reads the vectors of RFC 4648 section 10",
        arguments: [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ])
    func vectors(plain: String, text: String) {
        #expect(Base64.encode(Array(plain.utf8)) == text)
        #expect(Base64.decode(text) == Array(plain.utf8))
    }

    @Test("Base64 and hex give back every byte at every place", arguments: 1...4)
    func roundTrip(length: Int) {
        for place in 0..<length {
            for value in UInt8.min...UInt8.max {
                var bytes = [UInt8](repeating: 0xa5, count: length)
                bytes[place] = value
                #expect(Base64.decode(Base64.encode(bytes)) == bytes)
                #expect(Hex.decode(Hex.encode(bytes)) == bytes)
            }
        }
    }

    @Test(
        "Base64 refuses text that is not the one spelling of its bytes",
        arguments: [
            "Zg", "Zg=", "Zg===", "Z", "Zh==", "Zm9=", "=", "====", "Zg==Zg==", "Zm8=\n", "Zm 8", "Zm-_", "Z=8=",
            "Zm9v\u{e9}", "=m9v", "Zm==v",
        ])
    func refusedBase64(text: String) {
        #expect(Base64.decode(text) == nil)
    }

    @Test("Hex refuses odd lengths, upper case and other characters", arguments: ["a", "AB", "0g", " 00", "0x00", "é"])
    func refusedHex(text: String) {
        #expect(Hex.decode(text) == nil)
    }
}
