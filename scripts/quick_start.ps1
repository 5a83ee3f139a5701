<#
.SYNOPSIS
Windows: pull the model, start Triton and the gateway in containers, print one real embedding.
.DESCRIPTION
Needs Docker Desktop with Linux containers. `docker compose down` stops everything.
.PARAMETER ApiKey
A key of GATEWAY_API_KEYS, where `.env` sets any.
.EXAMPLE
.\scripts\quick_start.ps1
#>
[CmdletBinding()]
param(
    [string] $Model = 'all-MiniLM-L6-v2',
    [int] $TimeoutSeconds = 600,
    [string] $ApiKey = ''
)

$ErrorActionPreference = 'Stop'
Set-Location (Split-Path -Parent $PSScriptRoot)

if (-not (Get-Command docker -ErrorAction SilentlyContinue)) {
    Write-Error 'docker was not found. Install Docker Desktop, then run this again.'
}
docker info --format '{{.OSType}}' | Out-Null
if ($LASTEXITCODE -ne 0) { Write-Error 'Docker does not answer. Start Docker Desktop, then run this again.' }

docker compose --profile $Model up --detach --build
if ($LASTEXITCODE -ne 0) { exit $LASTEXITCODE }

# Compose knows the published address whatever the environment and .env say.
$address = "$(docker compose port gateway 8000)".Trim() -replace '^0\.0\.0\.0', '127.0.0.1'
if (-not $address) { Write-Error 'The gateway is not running: docker compose logs gateway' }
$base = "http://$address"
$headers = if ($ApiKey) { @{ Authorization = "Bearer $ApiKey" } } else { @{} }
$deadline = (Get-Date).AddSeconds($TimeoutSeconds)
while ($true) {
    try {
        Invoke-RestMethod "$base/ready" -TimeoutSec 5 | Out-Null
        break
    }
    catch {
        if ((Get-Date) -gt $deadline) { Write-Error "Not ready after $TimeoutSeconds s: docker compose logs" }
        Start-Sleep -Seconds 2
    }
}

$body = @{ model = $Model; input = 'Hello, world!' } | ConvertTo-Json
try {
    $answer = Invoke-RestMethod "$base/v1/embeddings" -Method Post -ContentType 'application/json' -Body $body -Headers $headers
}
catch {
    Write-Error "The gateway is ready, but refused the request ($($_.Exception.Message)). Where keys are set, give one: -ApiKey KEY"
}
$vector = $answer.data[0].embedding
$first = ($vector | Select-Object -First 4 | ForEach-Object { '{0:N4}' -f $_ }) -join ', '
"$($vector.Count) dimensions by $($answer.model): [$first, ...]"
"Again: curl.exe $base/v1/embeddings -H 'Content-Type: application/json' -d '{\`"input\`": \`"Hello, world!\`"}'"
'Stop:  docker compose down'
