internal import BundleFormat
internal import Platform

extension BundleBuilder {
    /// What is made of an image beside its windows.
    struct FormPlan {
        let bases: [BaseImage]
        let solid: Bool
        let blocks: Bool

        /// Passes over the image, for the progress.
        var count: Int { bases.count + (solid ? 1 : 0) + (blocks ? 1 : 0) }
    }

    func formPlan(_ image: Recipe.Image, _ bases: BaseImages) throws -> FormPlan {
        let own = bases.bases(of: image.id)
        if own.count > BundleLimits.deltas {
            throw PackagingError.tooManyBases(id: image.id.text, limit: BundleLimits.deltas)
        }
        return FormPlan(bases: own, solid: forms.solid ?? image.solid, blocks: forms.blocks ?? image.blocks)
    }

    /// Adds the forms of every image to the payload.
    func addForms(
        _ plans: [FormPlan], _ images: [ImageFile], to encoded: inout [EncodedImage], _ writer: PayloadWriter,
        _ progress: (BuildProgress) throws -> Void
    ) throws {
        var done = images.reduce(UInt64(0)) { $0 + $1.size }
        let total = zip(plans, images).reduce(done) { $0 + UInt64($1.0.count) * $1.1.size }
        for (index, plan) in plans.enumerated() where plan.count > 0 {
            let encoder = FormEncoder(
                image: try images[index].map(), chunks: encoded[index].chunks, level: level, jobs: jobs,
                writer: writer)
            let id = recipe.images[index].id
            let report = { (now: UInt64) throws in
                try progress(BuildProgress(component: id, done: done + now, total: total, stored: writer.length))
            }
            for base in plan.bases {
                encoded[index].forms.deltas.append(try encoder.delta(from: base, report))
                done += images[index].size
            }
            if plan.solid {
                encoded[index].forms.solid = try encoder.solid(report)
                done += images[index].size
            }
            if plan.blocks {
                encoded[index].forms.blocks = try encoder.blocks(report)
                done += images[index].size
            }
        }
    }

    /// What keeps deltas of the images from being small.
    func warnings(_ images: [ImageFile]) throws -> [String] {
        var warnings: [String] = []
        let buffer = try AlignedBuffer(capacity: BundleLimits.window)
        for (image, file) in zip(recipe.images, images) {
            let count = Int(min(UInt64(buffer.capacity), file.size))
            try file.read(into: buffer, count: count, at: 0)
            let start = [UInt8](copying: buffer.bytes.extracting(0..<count))
            guard let inner = InnerCompression(start: start) else { continue }
            warnings.append("\(image.id): \(inner.text)")
        }
        return warnings
    }
}
