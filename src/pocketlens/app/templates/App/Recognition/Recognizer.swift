import CoreML
import CoreVideo
import Foundation
import RecognizerKit
import Vision

/// A camera frame on its way from the capture queue to the recognizer.
struct Frame: @unchecked Sendable {
    // Safe to send: nothing writes to the buffer after the camera has delivered it.
    let pixelBuffer: CVPixelBuffer

    var size: CGSize {
        CGSize(
            width: CVPixelBufferGetWidth(pixelBuffer),
            height: CVPixelBufferGetHeight(pixelBuffer)
        )
    }
}

/// The model's output for one image.
struct Recognition: Sendable {
    /// Every class with its probability, in any order.
    let labels: [(label: String, probability: Double)]
    /// The time to compute it.
    let duration: Duration
}

/// Runs the model, which is loaded once, for the first image.
actor Recognizer {
    nonisolated let configuration: RecognizerConfiguration

    private typealias Perform = @Sendable (CoreMLRequest) async throws -> [any VisionObservation]
    private let modelURL: URL
    private var loading: Task<Loaded, any Error>?
    private var computeUnits = MLComputeUnits.all
    private var plan: ComputePlan?

    /// The request, which contains the model.
    private struct Loaded: @unchecked Sendable {
        // Safe to send: only this actor's methods use it.
        let request: CoreMLRequest
        let computeUnits: MLComputeUnits
    }

    /// Reads `recognizer.json` and finds the compiled model in the bundle; does not load the model.
    init(bundle: Bundle) throws {
        guard let file = bundle.url(forResource: "recognizer", withExtension: "json") else {
            throw RecognizerError.missing("recognizer.json")
        }
        configuration = try RecognizerConfiguration(json: Data(contentsOf: file))
        let name = configuration.model
        guard let model = bundle.url(forResource: name, withExtension: "mlmodelc") else {
            throw RecognizerError.missing("\(name).mlmodelc")
        }
        modelURL = model
    }

    /// Classifies an upright frame.
    func recognize(_ frame: Frame) async throws -> Recognition {
        try await classify { try await $0.perform(on: frame.pixelBuffer) }
    }

    /// Classifies a still image.
    func recognize(_ picture: Picture) async throws -> Recognition {
        try await classify { try await $0.perform(on: picture.image) }
    }

    /// The processor that runs most of the model; `nil` if Core ML does not report it.
    func processor() async -> ComputePlan.Processor? {
        if plan == nil {
            // Core ML has no plan for some models. Recognition works without it.
            plan = try? await ComputePlan(model: modelURL, computeUnits: computeUnits)
        }
        return plan?.busiest
    }

    private func classify(_ perform: Perform) async throws -> Recognition {
        let loaded = try await loadedModel()
        do {
            return try await recognition(by: loaded, perform)
        } catch let error where loaded.computeUnits != .cpuOnly && !(error is CancellationError) {
            fallBackToCPU()
            return try await recognition(by: loadedModel(), perform)
        }
    }

    private func recognition(by loaded: Loaded, _ perform: Perform) async throws -> Recognition {
        let clock = ContinuousClock()
        let start = clock.now
        let observations = try await perform(loaded.request)
        let duration = clock.now - start
        let classes = observations.compactMap { $0 as? ClassificationObservation }
        guard !classes.isEmpty else {
            throw RecognizerError.noClassifier
        }
        return Recognition(
            labels: classes.map { (label: $0.identifier, probability: Double($0.confidence)) },
            duration: duration
        )
    }

    /// Concurrent callers get the same model, which is loaded only once.
    private func loadedModel() async throws -> Loaded {
        let task = loading ?? Task { try await load() }
        loading = task
        let units = computeUnits
        do {
            return try await task.value
        } catch {
            // The next call tries again.
            if loading == task {
                loading = nil
            }
            guard units != .cpuOnly, !(error is CancellationError) else { throw error }
            fallBackToCPU()
            return try await loadedModel()
        }
    }

    /// Some models fail on the Neural Engine or GPU of some devices. All of them run on the CPU.
    private func fallBackToCPU() {
        guard computeUnits != .cpuOnly else { return }
        computeUnits = .cpuOnly
        loading = nil
        plan = nil
    }

    private func load() async throws -> Loaded {
        let units = computeUnits
        var request = CoreMLRequest(model: try await Self.model(at: modelURL, on: units))
        // By default, Vision stretches the image.
        request.cropAndScaleAction = configuration.input.crop.visionAction
        return Loaded(request: request, computeUnits: units)
    }

    /// Not isolated to the actor: an `MLModel` is not `Sendable`, but Vision's container is.
    private nonisolated static func model(
        at url: URL, on units: MLComputeUnits
    ) async throws -> CoreMLModelContainer {
        let options = MLModelConfiguration()
        options.computeUnits = units
        return try CoreMLModelContainer(
            model: try await MLModel.load(contentsOf: url, configuration: options)
        )
    }
}

extension Crop {
    var visionAction: ImageCropAndScaleAction {
        switch self {
        case .centerCrop: .centerCrop
        case .fit: .scaleToFit
        case .fill: .scaleToFill
        }
    }
}

enum RecognizerError: LocalizedError {
    case missing(String)
    case noClassifier
    case unreadablePicture

    var errorDescription: String? {
        switch self {
        case .missing(let file):
            String(localized: "\(file) is missing from the app.")
        case .noClassifier:
            String(localized: "The model returned no classes: it is not an image classifier.")
        case .unreadablePicture:
            String(localized: "This image cannot be read.")
        }
    }
}
