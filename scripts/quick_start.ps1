<#
.SYNOPSIS
Windows: pull the model, start Triton and the gateway in containers, print one real embedding.
.DESCRIPTION
Needs Docker Desktop with Linux containers. `docker compose down` stops everything.
.EXAMPLE
.\scripts\quick_start.ps1
#>
[CmdletBinding()]
param(
    [string] $Model = 'all-MiniLM-L6-v2',
    [int] $TimeoutSeconds = 600
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

$port = if ($env:GATEWAY_PORT) { $env:GATEWAY_PORT } else { 8000 }
$base = "http://127.0.0.1:$port"
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
$answer = Invoke-RestMethod "$base/v1/embeddings" -Method Post -ContentType 'application/json' -Body $body
$vector = $answer.data[0].embedding
$first = ($vector | Select-Object -First 4 | ForEach-Object { '{0:N4}' -f $_ }) -join ', '
"$($vector.Count) dimensions by $($answer.model): [$first, ...]"
"Again: curl.exe $base/v1/embeddings -H 'Content-Type: application/json' -d '{\`"input\`": \`"Hello, world!\`"}'"
'Stop:  docker compose down'
