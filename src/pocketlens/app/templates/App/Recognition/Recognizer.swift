import CoreML
import CoreVideo
import Foundation
import RecognizerKit
import Vision

/// A camera frame on its way from the capture queue to the recognizer.
struct Frame: @unchecked Sendable {
    // Safe to pass on: nobody writes to the buffer after the camera has delivered it.
    let pixelBuffer: CVPixelBuffer

    var size: CGSize {
        CGSize(
            width: CVPixelBufferGetWidth(pixelBuffer),
            height: CVPixelBufferGetHeight(pixelBuffer)
        )
    }
}

/// What the model says of one picture.
struct Recognition: Sendable {
    /// Every class with its probability, in no fixed order.
    let labels: [(label: String, probability: Double)]
    /// How long it took from the picture to the labels.
    let duration: Duration
}

/// Runs the model. It is loaded once, at the first picture.
actor Recognizer {
    nonisolated let configuration: RecognizerConfiguration

    private typealias Perform = @Sendable (CoreMLRequest) async throws -> [any VisionObservation]
    private let modelURL: URL
    private var loading: Task<Loaded, any Error>?
    private var computeUnits = MLComputeUnits.all
    private var plan: ComputePlan?

    /// The request with the model inside.
    private struct Loaded: @unchecked Sendable {
        // Safe to pass on: only this actor's methods ever see it.
        let request: CoreMLRequest
        let computeUnits: MLComputeUnits
    }

    /// Finds `recognizer.json` and the compiled model in the bundle; loads nothing yet.
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

    /// Classifies a frame that is upright already.
    func recognize(_ frame: Frame) async throws -> Recognition {
        try await classify { try await $0.perform(on: frame.pixelBuffer) }
    }

    /// Classifies a still picture.
    func recognize(_ picture: Picture) async throws -> Recognition {
        try await classify { try await $0.perform(on: picture.image) }
    }

    /// The processor that most of the model runs on; `nil` when Core ML does not tell.
    func processor() async -> ComputePlan.Processor? {
        if plan == nil {
            // Core ML tells nothing about some models. That is no reason to stop.
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

    /// Two who ask at once get the same model, loaded once.
    private func loadedModel() async throws -> Loaded {
        let task = loading ?? Task { try await load() }
        loading = task
        let units = computeUnits
        do {
            return try await task.value
        } catch {
            // Whoever asks next tries anew.
            if loading == task {
                loading = nil
            }
            guard units != .cpuOnly, !(error is CancellationError) else { throw error }
            fallBackToCPU()
            return try await loadedModel()
        }
    }

    /// Some models do not load or run on some devices' Neural Engine or GPU. All run on the CPU.
    private func fallBackToCPU() {
        guard computeUnits != .cpuOnly else { return }
        computeUnits = .cpuOnly
        loading = nil
        plan = nil
    }

    private func load() async throws -> Loaded {
        let units = computeUnits
        var request = CoreMLRequest(model: try await Self.model(at: modelURL, on: units))
        // Vision stretches the picture unless it is told otherwise.
        request.cropAndScaleAction = configuration.input.crop.visionAction
        return Loaded(request: request, computeUnits: units)
    }

    /// Outside of the actor: a model may not cross into it, but what Vision wraps around it may.
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
            String(localized: "The model gave no classes: it is not an image classifier.")
        case .unreadablePicture:
            String(localized: "This picture cannot be read.")
        }
    }
}
