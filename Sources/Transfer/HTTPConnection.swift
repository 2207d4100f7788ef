internal import CCurl
internal import Platform

/// libcurl's global state, set up once in the process, before the first handle.
private let startCode: CURLcode = kedge_curl_start()

/// CURL_HTTP_VERSION_1_1 and CURL_HTTP_VERSION_2TLS, which are anonymous enumerators in C.
private let version1 = 2
private let version2OverTLS = 4

/// Owns libcurl's handles: one easy handle, re-used, so that all ranges go over one kept connection, and a second one
/// with a connection of its own for what is asked for ahead.
///
/// They are driven through a multi handle because `curl_multi_wakeup` is the one call that may come from another thread:
/// a cancel takes effect at once instead of at the next tick of the progress callback.
///
/// A second connection and not a second stream of HTTP/2: an answer that is ahead of its turn is left in its socket, whose
/// window bounds it without any memory of this process. On a shared connection a stream that nobody reads would hold
/// the one up that is read (libcurl before 8.1 stops the whole session), or would have to be buffered here.
@safe final class HTTPConnection: @unchecked Sendable {
    /// How long a wait for the network lasts before cancel and stall are looked at again.
    private static let tickMilliseconds: Int32 = 250

    /// One easy handle and the request on it.
    @safe private final class Lane {
        let easy: UnsafeMutableRawPointer
        var headers: UnsafeMutablePointer<curl_slist>?
        var exchange: HTTPExchange?
        var result: CURLcode?
        init(_ easy: UnsafeMutableRawPointer) { unsafe self.easy = easy }
        deinit {
            unsafe curl_easy_cleanup(easy)
            unsafe curl_slist_free_all(headers)
        }
    }

    private var lane: Lane
    /// Made when it is first needed.
    private var second: Lane?
    private let multi: UnsafeMutableRawPointer
    private let address: HTTPAddress
    private let options: HTTPOptions
    private var source: String { address.displayName }
    /// Whether requests tell caches to look at the server.
    var asksPastCaches = false

    init(_ address: HTTPAddress, options: HTTPOptions) throws(TransferError) {
        self.address = address
        self.options = options
        let started = curl(CURLE_FAILED_INIT) { startCode }
        guard started == CURLE_OK else {
            throw TransferError.network(.library, source: address.displayName, detail: describe(started))
        }
        lane = try Self.makeLane(address)
        guard let multi = unsafe curl(nil, { unsafe curl_multi_init() }) else {
            throw TransferError.network(.library, source: address.displayName, detail: "out of memory")
        }
        unsafe self.multi = multi
        try multiOption { unsafe kedge_curl_set_single(multi) }
        try configure(lane)
    }

    deinit {
        end(lane)
        if let second { end(second) }
        _ = unsafe curl_multi_cleanup(multi)
    }

    private static func makeLane(_ address: HTTPAddress) throws(TransferError) -> Lane {
        guard let easy = unsafe curl(nil, { unsafe curl_easy_init() }) else {
            throw TransferError.network(.library, source: address.displayName, detail: "out of memory")
        }
        return unsafe Lane(easy)
    }

    /// Ends a wait for the network at once; from any thread.
    func wake() { _ = unsafe curl_multi_wakeup(multi) }

    /// Sends one request and passes its answer to `exchange`. `meanwhile` is called each time that something came.
    func run(
        _ exchange: HTTPExchange, _ request: RangeRequest, ifRange tag: String?, state: SourceState,
        meanwhile: () -> Void
    ) throws(TransferError) -> ExchangeOutcome {
        try begin(lane, exchange, request, ifRange: tag)
        defer { end(lane) }
        return try drive(lane, exchange, state: state, meanwhile)
    }

    /// Sends a request on the second connection; its answer waits there.
    func sendAhead(_ exchange: HTTPExchange, _ request: RangeRequest, ifRange tag: String?) throws(TransferError) {
        if second == nil {
            let made = try Self.makeLane(address)
            try configure(made)
            second = made
        }
        if let second { try begin(second, exchange, request, ifRange: tag) }
    }

    /// Passes on the answer that was asked for ahead, whose exchange was started.
    func runAhead(
        _ exchange: HTTPExchange, state: SourceState, meanwhile: () -> Void
    ) throws(TransferError) -> ExchangeOutcome {
        guard let ahead = second, ahead.exchange === exchange else {
            throw TransferError.network(.library, source: source, detail: "nothing was asked for ahead")
        }
        // What comes next is asked for on the connection that is free now.
        second = lane
        lane = ahead
        defer { end(ahead) }
        // Only what waits can go on; libcurl takes anything else for a mistake.
        if exchange.isWaiting, ahead.result == nil {
            let code = curl(CURLE_OUT_OF_MEMORY) { unsafe kedge_curl_go_on(ahead.easy) }
            if code != CURLE_OK, exchange.isEndedHere { return exchange.outcome(of: code, proxyStatus: 0) }
            if code != CURLE_OK { throw TransferError.network(.library, source: source, detail: describe(code)) }
        }
        return try drive(ahead, exchange, state: state, meanwhile)
    }

    /// Gives up what was asked for ahead, and its connection where the answer was under way.
    func dropAhead() { if let second { end(second) } }

    private func begin(
        _ lane: Lane, _ exchange: HTTPExchange, _ request: RangeRequest, ifRange tag: String?
    ) throws(TransferError) {
        end(lane)
        let easy = unsafe lane.easy
        unsafe lane.headers = try requestHeaders(ifRange: tag)
        let context = unsafe Unmanaged.passUnretained(exchange).toOpaque()
        try option { unsafe kedge_curl_set_list(easy, CURLOPT_HTTPHEADER, lane.headers) }
        try option { unsafe kedge_curl_set_string(easy, CURLOPT_RANGE, "\(request.first)-\(request.last)") }
        try option { unsafe kedge_curl_set_pointer(easy, CURLOPT_WRITEDATA, context) }
        try option { unsafe kedge_curl_set_pointer(easy, CURLOPT_HEADERDATA, context) }
        try option { unsafe kedge_curl_set_pointer(easy, CURLOPT_PREREQDATA, context) }
        try multiOption { unsafe curl_multi_add_handle(multi, easy) }
        // libcurl does not own it, and calls it until the handle is taken out.
        lane.exchange = exchange
    }

    /// Taking the handle out closes a connection that is still in use and keeps one that is done.
    private func end(_ lane: Lane) {
        if lane.exchange != nil { _ = unsafe curl_multi_remove_handle(multi, lane.easy) }
        lane.exchange = nil
        lane.result = nil
        unsafe curl_slist_free_all(lane.headers)
        unsafe lane.headers = nil
    }

    private func drive(
        _ lane: Lane, _ exchange: HTTPExchange, state: SourceState, _ meanwhile: () -> Void
    ) throws(TransferError) -> ExchangeOutcome {
        while true {
            var running: Int32 = 0
            try multiOption { unsafe curl_multi_perform(multi, &running) }
            collect()
            if let code = lane.result {
                return exchange.outcome(of: curl(CURLE_RECV_ERROR) { code }, proxyStatus: proxyStatus())
            }
            if running == 0 {
                throw TransferError.network(.library, source: source, detail: "a transfer ended without a result")
            }
            if let reason = state.interruption { return exchange.outcome(dropped: reason, isFinal: true) }
            if exchange.isStalled() {
                let error = TransferError.network(.stalled, source: source, detail: "the server sends too slowly")
                return exchange.outcome(dropped: error, isFinal: false)
            }
            meanwhile()
            try multiOption { unsafe curl_multi_poll(multi, nil, 0, Self.tickMilliseconds, nil) }
        }
    }

    /// Notes which requests ended.
    private func collect() {
        var code = CURLE_OK
        var handle: UnsafeMutableRawPointer?
        while curl(0, { unsafe kedge_curl_next_result(multi, &handle, &code) }) == 1 {
            if unsafe handle == lane.easy { lane.result = code }
            if let second, unsafe handle == second.easy { second.result = code }
        }
    }

    /// What the proxy answered to CONNECT; 0 where there was none.
    private func proxyStatus() -> Int {
        var status = 0
        let easy = unsafe lane.easy
        let code = curl(CURLE_OUT_OF_MEMORY) { unsafe kedge_curl_get_long(easy, CURLINFO_HTTP_CONNECTCODE, &status) }
        return code == CURLE_OK ? status : 0
    }

    private func requestHeaders(ifRange tag: String?) throws(TransferError) -> UnsafeMutablePointer<curl_slist> {
        var lines = ["Accept-Encoding: identity"]
        if let tag { lines.append("If-Range: " + tag) }
        if asksPastCaches { lines += ["Cache-Control: no-cache", "Pragma: no-cache"] }
        var list: UnsafeMutablePointer<curl_slist>?
        for line in lines {
            guard let longer = unsafe curl(nil, { unsafe curl_slist_append(list, line) }) else {
                unsafe curl_slist_free_all(list)
                throw TransferError.network(.library, source: source, detail: "out of memory")
            }
            unsafe list = longer
        }
        guard let list = unsafe list else {
            throw TransferError.network(.library, source: source, detail: "out of memory")
        }
        return unsafe list
    }

    private func configure(_ lane: Lane) throws(TransferError) {
        let easy = unsafe lane.easy
        try option { unsafe kedge_curl_set_string(easy, CURLOPT_URL, address.text) }
        try option { unsafe kedge_curl_set_string(easy, CURLOPT_USERAGENT, options.userAgent) }
        try option { unsafe kedge_curl_set_schemes(easy, 1, address.isSecure ? 0 : 1) }
        if let file = options.certificateAuthorities {
            try option { unsafe kedge_curl_set_string(easy, CURLOPT_CAINFO, file) }
            // Only this file: the system's directory of authorities would still count beside it.
            try option { unsafe kedge_curl_set_string(easy, CURLOPT_CAPATH, nil) }
        }
        try unsafe configureIdentity(easy)
        if let hosts = options.noProxy { try option { unsafe kedge_curl_set_string(easy, CURLOPT_NOPROXY, hosts) } }
        if let proxy = options.proxy { try option { unsafe kedge_curl_set_string(easy, CURLOPT_PROXY, proxy) } }
        let connect = max(options.connectTimeoutMilliseconds, 1)
        let flags: [(CURLoption, Int)] = [
            (CURLOPT_CONNECTTIMEOUT_MS, Int(connect)),
            // Signals belong to the service; libcurl must not touch SIGALRM or SIGPIPE.
            (CURLOPT_NOSIGNAL, 1),
            (CURLOPT_FOLLOWLOCATION, 1),
            (CURLOPT_MAXREDIRS, HTTPOptions.redirectLimit),
            (CURLOPT_UNRESTRICTED_AUTH, 0),
            (CURLOPT_SSLVERSION, 6),
            (CURLOPT_SUPPRESS_CONNECT_HEADERS, 1),
            (CURLOPT_TCP_KEEPALIVE, 1),
            (CURLOPT_BUFFERSIZE, 65_536),
        ]
        for (name, value) in flags { try option { unsafe kedge_curl_set_long(easy, name, value) } }
        try option { unsafe kedge_curl_set_quick_exit(easy) }
        try unsafe configureVersion(easy)
        try unsafe installCallbacks(easy)
    }

    /// A libcurl that was built without HTTP/2, as for many small systems, refuses the wish for it.
    @unsafe private func configureVersion(_ easy: UnsafeMutableRawPointer) throws(TransferError) {
        if options.allowsHTTP2 {
            let code = curl(CURLE_UNSUPPORTED_PROTOCOL) {
                unsafe kedge_curl_set_long(easy, CURLOPT_HTTP_VERSION, version2OverTLS)
            }
            if code == CURLE_OK { return }
        }
        try option { unsafe kedge_curl_set_long(easy, CURLOPT_HTTP_VERSION, version1) }
    }

    /// Who the device is, to the server and to the proxy. libcurl keeps name, password and token away from another
    /// host, port or scheme that a redirect leads to (CURLOPT_UNRESTRICTED_AUTH stays off).
    @unsafe private func configureIdentity(_ easy: UnsafeMutableRawPointer) throws(TransferError) {
        try unsafe configureCertificate(easy)
        switch options.credentials.first(where: { $0.fits(address) })?.secret {
        case .basic(let user, let password):
            try option { unsafe kedge_curl_set_authentication(easy, 0) }
            try option { unsafe kedge_curl_set_string(easy, CURLOPT_USERNAME, user) }
            try option { unsafe kedge_curl_set_string(easy, CURLOPT_PASSWORD, password) }
        case .bearer(let token):
            try option { unsafe kedge_curl_set_authentication(easy, 1) }
            try option { unsafe kedge_curl_set_string(easy, CURLOPT_XOAUTH2_BEARER, token) }
        case nil: break
        }
        if case .basic(let user, let password) = options.proxyCredential {
            try option { unsafe kedge_curl_set_string(easy, CURLOPT_PROXYUSERNAME, user) }
            try option { unsafe kedge_curl_set_string(easy, CURLOPT_PROXYPASSWORD, password) }
        }
    }

    @unsafe private func configureCertificate(_ easy: UnsafeMutableRawPointer) throws(TransferError) {
        guard let certificate = options.clientCertificate else { return }
        let isToken = certificate.utf8.starts(with: "pkcs11:".utf8)
        let key = options.clientKey ?? certificate
        let isTokenKey = key.utf8.starts(with: "pkcs11:".utf8)
        if isToken || isTokenKey {
            let code = curl(CURLE_SSL_ENGINE_NOTFOUND) {
                unsafe kedge_curl_set_token(easy, isToken ? 1 : 0, isTokenKey ? 1 : 0)
            }
            if code != CURLE_OK { throw .network(.clientKey, source: source, detail: describe(code)) }
        }
        try option { unsafe kedge_curl_set_string(easy, CURLOPT_SSLCERT, certificate) }
        try option { unsafe kedge_curl_set_string(easy, CURLOPT_SSLKEY, key) }
        if let secret = options.clientKeySecret {
            try option { unsafe kedge_curl_set_string(easy, CURLOPT_KEYPASSWD, secret) }
        }
    }

    @unsafe private func installCallbacks(_ easy: UnsafeMutableRawPointer) throws(TransferError) {
        try option { unsafe kedge_curl_set_data_function(easy, CURLOPT_WRITEFUNCTION, receiveBody) }
        try option { unsafe kedge_curl_set_data_function(easy, CURLOPT_HEADERFUNCTION, receiveHeadLine) }
        try option { unsafe kedge_curl_set_connected_function(easy, noteConnection) }
        try option { unsafe kedge_curl_set_close_on_exec(easy) }
    }

    private func option(_ call: () -> CURLcode) throws(TransferError) {
        let code = curl(CURLE_OUT_OF_MEMORY, call)
        if code != CURLE_OK { throw TransferError.network(.library, source: source, detail: describe(code)) }
    }

    private func multiOption(_ call: () -> CURLMcode) throws(TransferError) {
        let code = curl(CURLM_INTERNAL_ERROR, call)
        guard code != CURLM_OK else { return }
        let text = unsafe curl_multi_strerror(code).map { unsafe String(cString: $0) } ?? "error \(code.rawValue)"
        throw TransferError.network(.library, source: source, detail: text)
    }
}

/// The exchange behind a callback's context.
@unsafe private func exchange(_ context: UnsafeMutableRawPointer) -> HTTPExchange {
    unsafe Unmanaged<HTTPExchange>.fromOpaque(context).takeUnretainedValue()
}

/// CURLOPT_WRITEFUNCTION: any other result than the count ends the transfer.
private func receiveBody(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let bytes = unsafe bytes, let context = unsafe context, count > 0 else { return 0 }
    let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(bytes), byteCount: size * count)
    switch unsafe exchange(context).takeBody(span) {
    case .taken: return size * count
    case .later: return kedge_curl_later()
    case .refused: return 0
    }
}

/// CURLOPT_HEADERFUNCTION: one whole line for each call.
private func receiveHeadLine(
    _ bytes: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?
) -> Int {
    guard let bytes = unsafe bytes, let context = unsafe context, count > 0 else { return 0 }
    let span = unsafe RawSpan(_unsafeStart: UnsafeRawPointer(bytes), byteCount: size * count)
    return unsafe exchange(context).takeHeadLine(span) ? size * count : 0
}

/// CURLOPT_PREREQFUNCTION: the connection stands; 0 lets the request go.
private func noteConnection(
    _ context: UnsafeMutableRawPointer?, _ remote: UnsafeMutablePointer<CChar>?,
    _ local: UnsafeMutablePointer<CChar>?, _ remotePort: Int32, _ localPort: Int32
) -> Int32 {
    guard let context = unsafe context else { return 0 }
    unsafe exchange(context).connected()
    return 0
}
