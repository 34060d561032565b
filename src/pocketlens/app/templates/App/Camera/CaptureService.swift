import AVFoundation
import Foundation

/// The state of the camera.
enum CaptureState: Equatable, Sendable {
    case starting
    case running(CameraInfo)
    /// The user has not allowed the camera.
    case denied
    /// The device has no camera, for example the simulator.
    case noCamera
    /// Another app is using the camera, or the device is too hot.
    case interrupted
    case failed(String)
}

struct CameraInfo: Equatable, Sendable {
    let id: String
    let hasTorch: Bool
    /// Whether there is another camera to switch to.
    let hasOther: Bool
}

/// Connects the preview to the capture session, which otherwise only `CaptureService` uses.
struct PreviewSource: @unchecked Sendable {
    // Safe to send: the preview layer only reads the session, which AVFoundation supports.
    fileprivate let session: AVCaptureSession

    @MainActor func connect(to layer: AVCaptureVideoPreviewLayer) {
        layer.session = session
    }
}

/// Owns the camera. Its methods run on a separate serial queue, not on the main thread, because
/// starting and configuring a session block.
actor CaptureService {
    nonisolated let preview: PreviewSource
    /// Upright frames. While one is being processed, only the newest of the next ones is kept.
    nonisolated let frames: AsyncStream<Frame>
    nonisolated let states: AsyncStream<CaptureState>

    private let queue = DispatchSerialQueue(label: "camera.session")
    private let frameQueue = DispatchQueue(label: "camera.frames", qos: .userInitiated)
    private let session = AVCaptureSession()
    private let output = AVCaptureVideoDataOutput()
    private let receiver: FrameReceiver
    private let stateUpdates: AsyncStream<CaptureState>.Continuation
    private var camera: AVCaptureDevice?
    private var observers: [any NSObjectProtocol] = []

    nonisolated var unownedExecutor: UnownedSerialExecutor {
        queue.asUnownedSerialExecutor()
    }

    init() {
        preview = PreviewSource(session: session)
        let (frames, frameUpdates) = AsyncStream.makeStream(
            of: Frame.self, bufferingPolicy: .bufferingNewest(1)
        )
        self.frames = frames
        receiver = FrameReceiver(frames: frameUpdates)
        (states, stateUpdates) = AsyncStream.makeStream(of: CaptureState.self)
    }

    /// Asks for permission if necessary, sets up the camera and starts it. Can be called again after
    /// a failure, or when the user returns from Settings.
    func start() async {
        guard let device = AVCaptureDevice.default(for: .video) else {
            stateUpdates.yield(.noCamera)
            return
        }
        guard await isAllowed() else {
            stateUpdates.yield(.denied)
            return
        }
        if camera == nil {
            do {
                try configure(device)
            } catch {
                stateUpdates.yield(.failed(error.localizedDescription))
                return
            }
            observeSession()
        }
        run()
    }

    /// Stops the camera, for example when its screen disappears; `start` starts it again.
    func stop() {
        session.stopRunning()
    }

    /// Switches between the front and the back camera. Keeps the current one if that fails.
    func switchCamera() {
        guard let current = camera, let other = Self.camera(opposite: current) else { return }
        do {
            try configure(other)
        } catch {
            stateUpdates.yield(.failed(error.localizedDescription))
            return
        }
        run()
    }

    /// Rotates frames by the same angle, in degrees, as the preview, so that they are upright.
    func rotateFrames(to angle: CGFloat) {
        guard let connection = output.connection(with: .video),
            connection.isVideoRotationAngleSupported(angle)
        else { return }
        connection.videoRotationAngle = angle
    }

    /// Turns the torch on or off; returns whether it is on now.
    func setTorch(_ on: Bool) -> Bool {
        guard let camera, camera.hasTorch, camera.isTorchAvailable else { return false }
        change(camera) { $0.torchMode = on ? .on : .off }
        return camera.torchMode == .on
    }

    /// Sets focus and exposure for a point in sensor coordinates, from (0, 0) to (1, 1).
    func focus(at point: CGPoint) {
        guard let camera else { return }
        change(camera) { camera in
            if camera.isFocusPointOfInterestSupported,
                camera.isFocusModeSupported(.continuousAutoFocus)
            {
                camera.focusPointOfInterest = point
                camera.focusMode = .continuousAutoFocus
            }
            if camera.isExposurePointOfInterestSupported,
                camera.isExposureModeSupported(.continuousAutoExposure)
            {
                camera.exposurePointOfInterest = point
                camera.exposureMode = .continuousAutoExposure
            }
        }
    }

    private func isAllowed() async -> Bool {
        switch AVCaptureDevice.authorizationStatus(for: .video) {
        case .authorized: return true
        case .notDetermined: return await AVCaptureDevice.requestAccess(for: .video)
        default: return false
        }
    }

    private func run() {
        if !session.isRunning {
            session.startRunning()
        }
        if session.isRunning, let camera {
            setFrameRate(of: camera)
            let info = CameraInfo(
                id: camera.uniqueID,
                hasTorch: camera.hasTorch,
                hasOther: Self.camera(opposite: camera) != nil
            )
            stateUpdates.yield(.running(info))
        } else {
            stateUpdates.yield(.interrupted)
        }
    }
}

// MARK: - Setup

extension CaptureService {
    private static func camera(opposite camera: AVCaptureDevice) -> AVCaptureDevice? {
        let side: AVCaptureDevice.Position = camera.position == .front ? .back : .front
        return AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: side)
    }

    /// Uses `device` instead of the current camera. If this fails, nothing changes.
    private func configure(_ device: AVCaptureDevice) throws {
        let input = try AVCaptureDeviceInput(device: device)

        session.beginConfiguration()
        defer { session.commitConfiguration() }
        let previous = session.inputs
        previous.forEach(session.removeInput)
        // The new camera could not be added while a preset is set that it does not support.
        session.sessionPreset = .high
        guard session.canAddInput(input) else {
            previous.forEach(session.addInput)
            throw CaptureError.refused
        }
        session.addInput(input)
        if session.outputs.isEmpty {
            output.alwaysDiscardsLateVideoFrames = true
            output.setSampleBufferDelegate(receiver, queue: frameQueue)
            guard session.canAddOutput(output) else {
                session.removeInput(input)
                throw CaptureError.refused
            }
            session.addOutput(output)
        }
        // 720p is enough for every small network, but not every camera supports it.
        for preset in [AVCaptureSession.Preset.hd1280x720, .high]
        where session.canSetSessionPreset(preset) {
            session.sessionPreset = preset
            break
        }
        camera = device
    }

    private func change(_ camera: AVCaptureDevice, _ settings: (AVCaptureDevice) -> Void) {
        do {
            try camera.lockForConfiguration()
            settings(camera)
            camera.unlockForConfiguration()
        } catch {
            stateUpdates.yield(.failed(error.localizedDescription))
        }
    }

    /// Lowers the frame rate when the device is hot.
    private func setFrameRate(of camera: AVCaptureDevice) {
        let target: Double =
            switch ProcessInfo.processInfo.thermalState {
            case .nominal, .fair: 30
            case .serious: 15
            case .critical: 5
            @unknown default: 15
            }
        guard
            let range = camera.activeFormat.videoSupportedFrameRateRanges.max(by: {
                $0.maxFrameRate < $1.maxFrameRate
            })
        else { return }
        let rate = min(max(target, range.minFrameRate), range.maxFrameRate)
        change(camera) {
            $0.activeVideoMinFrameDuration = CMTime(value: 1, timescale: CMTimeScale(rate))
        }
    }
}

// MARK: - Session events

extension CaptureService {
    private enum Event: Sendable {
        case interrupted, interruptionEnded, mediaServicesReset, thermalStateChanged
        case error(String)
    }

    private func observeSession() {
        observe(AVCaptureSession.wasInterruptedNotification) { _ in .interrupted }
        observe(AVCaptureSession.interruptionEndedNotification) { _ in .interruptionEnded }
        observe(ProcessInfo.thermalStateDidChangeNotification) { _ in .thermalStateChanged }
        observe(AVCaptureSession.runtimeErrorNotification) { notification in
            let error = notification.userInfo?[AVCaptureSessionErrorKey] as? AVError
            return error?.code == .mediaServicesWereReset
                ? .mediaServicesReset
                : .error(error?.localizedDescription ?? "")
        }
    }

    private func observe(
        _ name: Notification.Name, as makeEvent: @escaping @Sendable (Notification) -> Event
    ) {
        let observer = NotificationCenter.default.addObserver(
            forName: name, object: nil, queue: nil
        ) { [weak self] notification in
            guard let self else { return }
            let event = makeEvent(notification)
            Task { await self.handle(event) }
        }
        observers.append(observer)
    }

    private func handle(_ event: Event) {
        switch event {
        case .interrupted:
            stateUpdates.yield(.interrupted)
        case .interruptionEnded, .mediaServicesReset:
            run()
        case .thermalStateChanged:
            if let camera { setFrameRate(of: camera) }
        case .error(let description):
            stateUpdates.yield(.failed(description))
        }
    }
}

enum CaptureError: LocalizedError {
    case refused

    var errorDescription: String? {
        switch self {
        case .refused:
            String(localized: "The camera cannot be used.")
        }
    }
}
