import CoreGraphics
import Foundation
import Observation
import RecognizerKit

/// The state of the camera screen. Passes the camera's frames to the recognizer.
@MainActor
@Observable
final class CameraModel {
    private(set) var state = CaptureState.starting
    private(set) var label: StableLabel?
    private(set) var frameSize = CGSize.zero
    private(set) var isTorchOn = false
    private(set) var showsDetails = false
    /// How the label was computed; only set while the details are shown.
    private(set) var details: RecognitionDetails?
    /// An error message for the user, if recognition failed.
    private(set) var problem: String?

    let input: InputSpec
    private let capture = CaptureService()
    private let recognizer: Recognizer
    private var tracker: RecognitionTracker
    private var stateTask: Task<Void, Never>?
    private var recognitionTask: Task<Void, Never>?

    init(recognizer: Recognizer) {
        self.recognizer = recognizer
        input = recognizer.configuration.input
        tracker = RecognitionTracker(configuration: recognizer.configuration)
    }

    var preview: PreviewSource {
        capture.preview
    }

    var camera: CameraInfo? {
        if case .running(let camera) = state { camera } else { nil }
    }

    /// Starts the camera and the recognizer; also restarts them after a failure.
    func start() async {
        problem = nil
        if stateTask == nil {
            stateTask = Task { await followStates() }
        }
        if recognitionTask == nil {
            recognitionTask = Task { await recognizeFrames() }
        }
        await capture.start()
    }

    /// Stops the camera, because its screen is not visible.
    func stop() async {
        await capture.stop()
        reset()
    }

    func switchCamera() {
        reset()
        Task { await capture.switchCamera() }
    }

    func rotateFrames(to angle: CGFloat) {
        Task { await capture.rotateFrames(to: angle) }
    }

    func focus(at point: CGPoint) {
        Task { await capture.focus(at: point) }
    }

    func toggleDetails() {
        showsDetails.toggle()
        details = nil
    }

    func toggleTorch() {
        Task { isTorchOn = await capture.setTorch(!isTorchOn) }
    }

    private func followStates() async {
        for await state in capture.states {
            self.state = state
            if camera == nil {
                reset()
            }
        }
    }

    private func recognizeFrames() async {
        do {
            // One frame at a time: the next one is taken after this one has been recognized.
            for await frame in capture.frames {
                let recognition = try await recognizer.recognize(frame)
                show(try tracker.add(recognition.labels), of: frame.size)
                await updateDetails(recognition)
            }
        } catch {
            label = nil
            problem = error.localizedDescription
        }
        recognitionTask = nil
    }

    private func updateDetails(_ recognition: Recognition) async {
        guard showsDetails else { return }
        let processor = await recognizer.processor()
        // The user may have hidden the details in the meantime.
        guard showsDetails else { return }
        details = RecognitionDetails(
            ranking: tracker.ranking, duration: recognition.duration, processor: processor
        )
    }

    private func show(_ newLabel: StableLabel?, of size: CGSize) {
        // Assigning a property redraws the screen, so assign it only if it changes.
        if label != newLabel {
            label = newLabel
        }
        if frameSize != size {
            frameSize = size
        }
    }

    private func reset() {
        tracker.reset()
        label = nil
        details = nil
        isTorchOn = false
    }
}

/// How a label was computed.
struct RecognitionDetails: Equatable {
    let ranking: [StableLabel]
    let duration: Duration
    let processor: ComputePlan.Processor?
}
