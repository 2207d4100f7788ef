internal import CJansson
internal import Platform

extension JSONValue {
    /// Nesting allowed in any document: manifest and twin documents use at most 6.
    public static let maximumDepth = 32

    /// Parses one JSON text with jansson: UTF-8 checked, duplicate names refused, nothing after the value, integers
    /// in 64 bits. `limit` bounds the bytes before anything is allocated.
    public static func parse(_ bytes: [UInt8], limit: Int) throws(JSONError) -> JSONValue {
        if bytes.count > limit {
            throw JSONError(.tooLarge, at: "document", "\(bytes.count) bytes, at most \(limit) are allowed")
        }
        var report = json_error_t()
        let flags = Int(JSON_REJECT_DUPLICATES) | Int(JSON_DECODE_ANY)
        let root = unsafe bytes.withUnsafeBytes { memory in
            unsafe json_loadb(memory.baseAddress?.assumingMemoryBound(to: CChar.self), memory.count, flags, &report)
        }
        guard let root = unsafe root else { throw describe(&report) }
        defer { unsafe kedge_json_release(root) }
        return try unsafe convert(root, depth: 0)
    }

    /// Parses text.
    public static func parse(_ text: String, limit: Int) throws(JSONError) -> JSONValue {
        try parse(Array(text.utf8), limit: limit)
    }
}

private func describe(_ report: inout json_error_t) -> JSONError {
    let line = report.line
    let column = report.column
    // The error's own code sits in the last byte of its text (jansson.h, json_error_code).
    let number = unsafe withUnsafeBytes(of: &report.text) { unsafe Int($0.last ?? 0) }
    let text = unsafe withUnsafeBytes(of: &report.text) { memory in
        unsafe String(decoding: memory.prefix { $0 != 0 }, as: UTF8.self)
    }
    let kind: JSONError.Kind = number == Int(json_error_duplicate_key.rawValue) ? .duplicate : .syntax
    return JSONError(kind, at: "line \(line) column \(column)", text)
}

@unsafe private func convert(_ raw: UnsafeMutablePointer<json_t>, depth: Int) throws(JSONError) -> JSONValue {
    if depth > JSONValue.maximumDepth {
        throw JSONError(.tooDeep, at: "document", "nested more than \(JSONValue.maximumDepth) levels")
    }
    switch unsafe json_type(UInt32(kedge_json_kind(raw))) {
    case JSON_OBJECT:
        var members: [JSONMember] = []
        var iterator = unsafe json_object_iter(raw)
        while let item = unsafe iterator {
            guard let name = unsafe json_object_iter_key(item), let value = unsafe json_object_iter_value(item) else {
                break
            }
            let converted = try unsafe convert(value, depth: depth + 1)
            members.append(JSONMember(name: unsafe String(cString: name), value: converted))
            unsafe iterator = json_object_iter_next(raw, item)
        }
        return .object(members)
    case JSON_ARRAY:
        var elements: [JSONValue] = []
        for index in 0..<(unsafe json_array_size(raw)) {
            guard let value = unsafe json_array_get(raw, index) else { break }
            elements.append(try unsafe convert(value, depth: depth + 1))
        }
        return .array(elements)
    case JSON_STRING:
        guard let text = unsafe json_string_value(raw) else { return .string("") }
        return .string(unsafe String(cString: text))
    case JSON_INTEGER: return .integer(Int64(unsafe json_integer_value(raw)))
    case JSON_REAL:
        var text = [CChar](repeating: 0, count: 32)
        unsafe kedge_json_real(raw, &text)
        return .real(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    case JSON_TRUE: return .bool(true)
    case JSON_FALSE: return .bool(false)
    default: return .null
    }
}
