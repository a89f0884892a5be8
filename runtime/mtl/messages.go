package mtl

// messages lists every message that this package sends, with the class or
// protocol that answers it. The tag holds: + or -, class, selector. A test checks
// each row against the table of Apple's headers: receiver and selector, then one
// Go argument for each of the message's.
type messages struct {
	nsString             method[func(id, sel, string, uint64) id] `objc:"+ NSString stringWithCString:encoding:"`
	utf8String           method[func(id, sel) uintptr]            `objc:"- NSString UTF8String"`
	localizedDescription method[func(id, sel) id]                 `objc:"- NSError localizedDescription"`
	errorCode            method[func(id, sel) int64]              `objc:"- NSError code"`
	arrayCount           method[func(id, sel) uint64]             `objc:"- NSArray count"`
	arrayObject          method[func(id, sel, uint64) id]         `objc:"- NSArray objectAtIndex:"`
	arrayWith            method[func(id, sel, id) id]             `objc:"+ NSArray arrayWithObject:"`
	fileURL              method[func(id, sel, id) id]             `objc:"+ NSURL fileURLWithPath:"`
	processInfo          method[func(id, sel) id]                 `objc:"+ NSProcessInfo processInfo"`
	systemVersion        method[func(id, sel) id]                 `objc:"- NSProcessInfo operatingSystemVersionString"`
	responds             method[func(id, sel, sel) bool]          `objc:"- NSObject respondsToSelector:"`

	deviceName     method[func(id, sel) id]                              `objc:"- MTLDevice name"`
	supportsFamily method[func(id, sel, int64) bool]                     `objc:"- MTLDevice supportsFamily:"`
	workingSet     method[func(id, sel) uint64]                          `objc:"- MTLDevice recommendedMaxWorkingSetSize"`
	maxBuffer      method[func(id, sel) uint64]                          `objc:"- MTLDevice maxBufferLength"`
	maxThreadgroup method[func(id, sel) uint64]                          `objc:"- MTLDevice maxThreadgroupMemoryLength"`
	newQueue       method[func(id, sel) id]                              `objc:"- MTLDevice newCommandQueue"`
	newBuffer      method[func(id, sel, uint64, uint64) id]              `objc:"- MTLDevice newBufferWithLength:options:"`
	newBufferOver  method[func(id, sel, uintptr, uint64, uint64, id) id] `objc:"- MTLDevice newBufferWithBytesNoCopy:length:options:deallocator:"`
	newLibrary     method[func(id, sel, id, id, *id) id]                 `objc:"- MTLDevice newLibraryWithSource:options:error:"`
	newPipeline    method[func(id, sel, id, uint64, *id, *id) id]        `objc:"- MTLDevice newComputePipelineStateWithDescriptor:options:reflection:error:"`
	newArchive     method[func(id, sel, id, *id) id]                     `objc:"- MTLDevice newBinaryArchiveWithDescriptor:error:"`
	newIndirect    method[func(id, sel, id, uint64, uint64) id]          `objc:"- MTLDevice newIndirectCommandBufferWithDescriptor:maxCommandCount:options:"`

	newFence         method[func(id, sel) id]                `objc:"- MTLDevice newFence"`
	supportsSampling method[func(id, sel, uint64) bool]      `objc:"- MTLDevice supportsCounterSampling:"`
	counterSets      method[func(id, sel) id]                `objc:"- MTLDevice counterSets"`
	sampleTimestamps method[func(id, sel, *uint64, *uint64)] `objc:"- MTLDevice sampleTimestamps:gpuTimestamp:"`
	newSamples       method[func(id, sel, id, *id) id]       `objc:"- MTLDevice newCounterSampleBufferWithDescriptor:error:"`

	counterSetName   method[func(id, sel) id]         `objc:"- MTLCounterSet name"`
	setCounterSet    method[func(id, sel, id)]        `objc:"- MTLCounterSampleBufferDescriptor setCounterSet:"`
	setSampleStorage method[func(id, sel, uint64)]    `objc:"- MTLCounterSampleBufferDescriptor setStorageMode:"`
	setSampleCount   method[func(id, sel, uint64)]    `objc:"- MTLCounterSampleBufferDescriptor setSampleCount:"`
	computePass      method[func(id, sel) id]         `objc:"+ MTLComputePassDescriptor computePassDescriptor"`
	setPassType      method[func(id, sel, uint64)]    `objc:"- MTLComputePassDescriptor setDispatchType:"`
	attachments      method[func(id, sel) id]         `objc:"- MTLComputePassDescriptor sampleBufferAttachments"`
	attachment       method[func(id, sel, uint64) id] `objc:"- MTLComputePassSampleBufferAttachmentDescriptorArray objectAtIndexedSubscript:"`
	setSampleBuffer  method[func(id, sel, id)]        `objc:"- MTLComputePassSampleBufferAttachmentDescriptor setSampleBuffer:"`
	setFirstSample   method[func(id, sel, uint64)]    `objc:"- MTLComputePassSampleBufferAttachmentDescriptor setStartOfEncoderSampleIndex:"`
	setLastSample    method[func(id, sel, uint64)]    `objc:"- MTLComputePassSampleBufferAttachmentDescriptor setEndOfEncoderSampleIndex:"`

	setFastMath      method[func(id, sel, bool)]   `objc:"- MTLCompileOptions setFastMathEnabled:"`
	setLanguage      method[func(id, sel, uint64)] `objc:"- MTLCompileOptions setLanguageVersion:"`
	newFunction      method[func(id, sel, id) id]  `objc:"- MTLLibrary newFunctionWithName:"`
	setFunction      method[func(id, sel, id)]     `objc:"- MTLComputePipelineDescriptor setComputeFunction:"`
	setPipelineLabel method[func(id, sel, id)]     `objc:"- MTLComputePipelineDescriptor setLabel:"`
	setMaxThreads    method[func(id, sel, uint64)] `objc:"- MTLComputePipelineDescriptor setMaxTotalThreadsPerThreadgroup:"`
	setIndirect      method[func(id, sel, bool)]   `objc:"- MTLComputePipelineDescriptor setSupportIndirectCommandBuffers:"`
	setArchives      method[func(id, sel, id)]     `objc:"- MTLComputePipelineDescriptor setBinaryArchives:"`
	maxTotalThreads  method[func(id, sel) uint64]  `objc:"- MTLComputePipelineState maxTotalThreadsPerThreadgroup"`
	executionWidth   method[func(id, sel) uint64]  `objc:"- MTLComputePipelineState threadExecutionWidth"`

	setArchiveURL method[func(id, sel, id)]           `objc:"- MTLBinaryArchiveDescriptor setUrl:"`
	addToArchive  method[func(id, sel, id, *id) bool] `objc:"- MTLBinaryArchive addComputePipelineFunctionsWithDescriptor:error:"`
	saveArchive   method[func(id, sel, id, *id) bool] `objc:"- MTLBinaryArchive serializeToURL:error:"`

	bufferContents method[func(id, sel) uintptr] `objc:"- MTLBuffer contents"`

	commandBuffer    method[func(id, sel) id]         `objc:"- MTLCommandQueue commandBuffer"`
	blitEncoder      method[func(id, sel) id]         `objc:"- MTLCommandBuffer blitCommandEncoder"`
	computeEncoder   method[func(id, sel, uint64) id] `objc:"- MTLCommandBuffer computeCommandEncoderWithDispatchType:"`
	computeEncoderOf method[func(id, sel, id) id]     `objc:"- MTLCommandBuffer computeCommandEncoderWithDescriptor:"`
	commit           method[func(id, sel)]            `objc:"- MTLCommandBuffer commit"`
	waitCompleted    method[func(id, sel)]            `objc:"- MTLCommandBuffer waitUntilCompleted"`
	bufferStatus     method[func(id, sel) uint64]     `objc:"- MTLCommandBuffer status"`
	bufferError      method[func(id, sel) id]         `objc:"- MTLCommandBuffer error"`
	gpuStart         method[func(id, sel) float64]    `objc:"- MTLCommandBuffer GPUStartTime"`
	gpuEnd           method[func(id, sel) float64]    `objc:"- MTLCommandBuffer GPUEndTime"`

	endEncoding     method[func(id, sel)]                                 `objc:"- MTLCommandEncoder endEncoding"`
	pushGroup       method[func(id, sel, id)]                             `objc:"- MTLCommandEncoder pushDebugGroup:"`
	popGroup        method[func(id, sel)]                                 `objc:"- MTLCommandEncoder popDebugGroup"`
	copyBuffer      method[func(id, sel, id, uint64, id, uint64, uint64)] `objc:"- MTLBlitCommandEncoder copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:"`
	resolveCounters method[func(id, sel, id, rng, id, uint64)]            `objc:"- MTLBlitCommandEncoder resolveCounters:inRange:destinationBuffer:destinationOffset:"`
	waitForFence    method[func(id, sel, id)]                             `objc:"- MTLComputeCommandEncoder waitForFence:"`
	updateFence     method[func(id, sel, id)]                             `objc:"- MTLComputeCommandEncoder updateFence:"`
	setPipeline     method[func(id, sel, id)]                             `objc:"- MTLComputeCommandEncoder setComputePipelineState:"`
	setBuffers      method[func(id, sel, uintptr, uintptr, rng)]          `objc:"- MTLComputeCommandEncoder setBuffers:offsets:withRange:"`
	setThreadgroup  method[func(id, sel, uint64, uint64)]                 `objc:"- MTLComputeCommandEncoder setThreadgroupMemoryLength:atIndex:"`
	dispatch        method[func(id, sel, size, size)]                     `objc:"- MTLComputeCommandEncoder dispatchThreadgroups:threadsPerThreadgroup:"`
	memoryBarrier   method[func(id, sel, uint64)]                         `objc:"- MTLComputeCommandEncoder memoryBarrierWithScope:"`
	useResources    method[func(id, sel, uintptr, uint64, uint64)]        `objc:"- MTLComputeCommandEncoder useResources:count:usage:"`
	executeIndirect method[func(id, sel, id, rng)]                        `objc:"- MTLComputeCommandEncoder executeCommandsInBuffer:withRange:"`

	setCommandTypes  method[func(id, sel, uint64)]             `objc:"- MTLIndirectCommandBufferDescriptor setCommandTypes:"`
	setInheritState  method[func(id, sel, bool)]               `objc:"- MTLIndirectCommandBufferDescriptor setInheritPipelineState:"`
	setInheritBuffer method[func(id, sel, bool)]               `objc:"- MTLIndirectCommandBufferDescriptor setInheritBuffers:"`
	setMaxBuffers    method[func(id, sel, uint64)]             `objc:"- MTLIndirectCommandBufferDescriptor setMaxKernelBufferBindCount:"`
	setMaxGroups     method[func(id, sel, uint64)]             `objc:"- MTLIndirectCommandBufferDescriptor setMaxKernelThreadgroupMemoryBindCount:"`
	indirectCommand  method[func(id, sel, uint64) id]          `objc:"- MTLIndirectCommandBuffer indirectComputeCommandAtIndex:"`
	icbPipeline      method[func(id, sel, id)]                 `objc:"- MTLIndirectComputeCommand setComputePipelineState:"`
	icbBuffer        method[func(id, sel, id, uint64, uint64)] `objc:"- MTLIndirectComputeCommand setKernelBuffer:offset:atIndex:"`
	icbThreadgroup   method[func(id, sel, uint64, uint64)]     `objc:"- MTLIndirectComputeCommand setThreadgroupMemoryLength:atIndex:"`
	icbDispatch      method[func(id, sel, size, size)]         `objc:"- MTLIndirectComputeCommand concurrentDispatchThreadgroups:threadsPerThreadgroup:"`
	icbBarrier       method[func(id, sel)]                     `objc:"- MTLIndirectComputeCommand setBarrier"`

	captureManager   method[func(id, sel) id]            `objc:"+ MTLCaptureManager sharedCaptureManager"`
	startCapture     method[func(id, sel, id, *id) bool] `objc:"- MTLCaptureManager startCaptureWithDescriptor:error:"`
	isCapturing      method[func(id, sel) bool]          `objc:"- MTLCaptureManager isCapturing"`
	stopCapture      method[func(id, sel)]               `objc:"- MTLCaptureManager stopCapture"`
	setCaptureObject method[func(id, sel, id)]           `objc:"- MTLCaptureDescriptor setCaptureObject:"`
	setCaptureTo     method[func(id, sel, int64)]        `objc:"- MTLCaptureDescriptor setDestination:"`
	setCaptureURL    method[func(id, sel, id)]           `objc:"- MTLCaptureDescriptor setOutputURL:"`
}

// classes are those whose objects this package makes itself.
type classes struct {
	NSString, NSArray, NSURL, NSProcessInfo                        id
	MTLCompileOptions, MTLComputePipelineDescriptor                id
	MTLBinaryArchiveDescriptor, MTLIndirectCommandBufferDescriptor id
	MTLCaptureDescriptor, MTLCaptureManager                        id
	MTLCounterSampleBufferDescriptor, MTLComputePassDescriptor     id
}

// Constants of Metal's headers, by their names there.
const (
	MTLDispatchTypeConcurrent                = 1
	MTLBarrierScopeBuffers                   = 1
	MTLResourceStorageModeShared             = 0
	MTLResourceStorageModePrivate            = 32
	MTLStorageModeShared                     = 0
	MTLCounterSamplingPointAtStageBoundary   = 0
	MTLResourceUsageRead                     = 1
	MTLResourceUsageWrite                    = 2
	MTLCommandBufferStatusCompleted          = 4
	MTLIndirectCommandTypeConcurrentDispatch = 32
	MTLCaptureDestinationGPUTraceDocument    = 2
	MTLLanguageVersion2_4                    = 131076
	MTLLanguageVersion3_0                    = 196608
	MTLLanguageVersion3_1                    = 196609
	MTLLanguageVersion4_0                    = 262144
	MTLGPUFamilyApple1                       = 1001
	MTLGPUFamilyApple7                       = 1007
	MTLGPUFamilyApple9                       = 1009
	MTLPipelineOptionFailOnBinaryArchiveMiss = 4
	MTLCounterErrorValue                     = 18446744073709551615
	NSUTF8StringEncoding                     = 4
)
