internal import CCurl
internal import Platform

/// One answer of the service API.
struct HubAnswer: Sendable {
    var status = 0
    var headers: [String: String] = [:]
    var body: [UInt8] = []
}

/// Owns libcurl's handles, so that all requests go over one kept connection.
@safe final class HubCall {
    /// Longest answer, bytes: a page of a query is at most a few hundred twins.
    private static let longest = 32 * 1024 * 1024
    /// No answer for so long ends a request, milliseconds.
    private static let patience = 60_000

    /// What a request's callbacks fill.
    final class Reception {
        var answer = HubAnswer()
        var isTooLong = false
    }

    private let easy: UnsafeMutableRawPointer
    private let multi: UnsafeMutableRawPointer
    private let host: String

    init(host: String, authorities: String?) throws(RolloutError) {
        self.host = host
        guard kedge_curl_start() == CURLE_OK, let easy = unsafe curl_easy_init(), let multi = unsafe curl_multi_init()
        else { throw .network(host: host, why: "libcurl does not start") }
        unsafe self.easy = easy
        unsafe self.multi = multi
        if let authorities {
            try set { unsafe kedge_curl_set_string(easy, CURLOPT_CAINFO, authorities) }
            try set { unsafe kedge_curl_set_string(easy, CURLOPT_CAPATH, nil) }
        }
        try set { unsafe kedge_curl_set_schemes(easy, 0, 0) }
        try set { unsafe kedge_curl_set_string(easy, CURLOPT_USERAGENT, "kedge") }
        try set { unsafe kedge_curl_set_data_function(easy, CURLOPT_WRITEFUNCTION, receiveBody) }
        try set { unsafe kedge_curl_set_data_function(easy, CURLOPT_HEADERFUNCTION, receiveLine) }
        try set { unsafe kedge_curl_set_long(easy, CURLOPT_NOSIGNAL, 1) }
        try set { unsafe kedge_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, 20_000) }
        try set { unsafe kedge_curl_set_long(easy, CURLOPT_TIMEOUT_MS, Self.patience) }
    }

    deinit {
        unsafe curl_easy_cleanup(easy)
        _ = unsafe curl_multi_cleanup(multi)
    }

    /// Sends a request and waits for its answer. Header lines may hold secrets: none of them is in an error.
    func send(_ method: String, url: String, headers: [String], body: [UInt8]) throws(RolloutError) -> HubAnswer {
        var list: UnsafeMutablePointer<curl_slist>?
        // libcurl would wait a second for "100 Continue" before a long body.
        for line in headers + ["Expect:"] {
            guard let longer = unsafe curl_slist_append(list, line) else {
                unsafe curl_slist_free_all(list)
                throw .network(host: host, why: "out of memory")
            }
            unsafe list = longer
        }
        defer { unsafe curl_slist_free_all(list) }
        let reception = Reception()
        let context = unsafe Unmanaged.passUnretained(reception).toOpaque()
        try set { unsafe kedge_curl_set_string(easy, CURLOPT_URL, url) }
        try set { unsafe kedge_curl_set_long(easy, CURLOPT_POSTFIELDSIZE, body.count) }
        // Copied, since the array need not stay where it is.
        try set { unsafe body.withUnsafeBytes { unsafe kedge_curl_set_body(easy, $0.baseAddress) } }
        if method == "GET" { try set { unsafe kedge_curl_set_long(easy, CURLOPT_HTTPGET, 1) } }
        try set { unsafe kedge_curl_set_string(easy, CURLOPT_CUSTOMREQUEST, method) }
        try set { unsafe kedge_curl_set_list(easy, CURLOPT_HTTPHEADER, list) }
        try set { unsafe kedge_curl_set_pointer(easy, CURLOPT_WRITEDATA, context) }
        try set { unsafe kedge_curl_set_pointer(easy, CURLOPT_HEADERDATA, context) }
        let code = try perform()
        if reception.isTooLong { throw .network(host: host, why: "the answer is longer than \(Self.longest) bytes") }
        if code != CURLE_OK { throw .network(host: host, why: Self.text(code)) }
        return withExtendedLifetime(reception) { reception.answer }
    }

    private func perform() throws(RolloutError) -> CURLcode {
        guard unsafe curl_multi_add_handle(multi, easy) == CURLM_OK else {
            throw .network(host: host, why: "libcurl takes no request")
        }
        defer { _ = unsafe curl_multi_remove_handle(multi, easy) }
        while true {
            var running: Int32 = 0
            guard unsafe curl_multi_perform(multi, &running) == CURLM_OK else {
                throw .network(host: host, why: "libcurl gave up")
            }
            var code = CURLE_OK
            var handle: UnsafeMutableRawPointer?
            if unsafe kedge_curl_next_result(multi, &handle, &code) == 1 { return code }
            if running == 0 { throw .network(host: host, why: "a request ended without a result") }
            _ = unsafe curl_multi_poll(multi, nil, 0, 1000, nil)
        }
    }

    private func set(_ call: () -> CURLcode) throws(RolloutError) {
        let code = call()
        if code != CURLE_OK { throw .network(host: host, why: Self.text(code)) }
    }

    private static func text(_ code: CURLcode) -> String {
        guard let text = unsafe curl_easy_strerror(code) else { return "error \(code.rawValue)" }
        return unsafe String(cString: text)
    }

    /// Takes a piece of the body; false ends the transfer.
    fileprivate static func take(_ bytes: [UInt8], _ reception: Reception) -> Bool {
        if reception.answer.body.count + bytes.count > longest {
            reception.isTooLong = true
            return false
        }
        reception.answer.body += bytes
        return true
    }

    /// Takes a line of the head; that of an earlier answer (a proxy's, 100) is forgotten.
    fileprivate static func take(line: String, _ reception: Reception) {
        if line.hasPrefix("HTTP/") {
            let words = line.split(separator: " ")
            reception.answer = HubAnswer(status: words.count > 1 ? Int(words[1]) ?? 0 : 0)
            return
        }
        let halves = line.split(separator: ":", maxSplits: 1)
        if halves.count == 2 {
            let value = halves[1].drop { $0 == " " }.prefix { !$0.isNewline }
            reception.answer.headers[halves[0].lowercased()] = String(value)
        }
    }
}

/// CURLOPT_COPYPOSTFIELDS copies what it is given.
@unsafe private func kedge_curl_set_body(
    _ easy: UnsafeMutableRawPointer, _ bytes: UnsafeRawPointer?
) -> CURLcode {
    unsafe kedge_curl_set_pointer(easy, CURLOPT_COPYPOSTFIELDS, UnsafeMutableRawPointer(mutating: bytes))
}

@unsafe private func reception(_ context: UnsafeMutableRawPointer) -> HubCall.Reception {
    unsafe Unmanaged<HubCall.Reception>.fromOpaque(context).takeUnretainedValue()
}

/// CURLOPT_WRITEFUNCTION: any other result than the count ends the transfer.
private func receiveBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let bytes = unsafe bytes, let context = unsafe context else { return 0 }
    let piece = unsafe [UInt8](UnsafeRawBufferPointer(start: bytes, count: size * count))
    return unsafe HubCall.take(piece, reception(context)) ? size * count : 0
}

/// CURLOPT_HEADERFUNCTION: one whole line for each call.
private func receiveLine(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let bytes = unsafe bytes, let context = unsafe context else { return 0 }
    let line = unsafe String(decoding: UnsafeRawBufferPointer(start: bytes, count: size * count), as: UTF8.self)
    unsafe HubCall.take(line: line, reception(context))
    return size * count
}
